import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Row } from '../scenario.js';
import { describeMachine } from './machine.js';
import { writeResults } from './page.js';
import { type Results, resultsByTarget } from './results.js';

const short: Row = {
  suite: 'cache',
  name: 'L2 hit, 64 callers',
  answers: 'cache/l2-hit',
  peer: 'ioredis GET',
  unit: 'reads/s',
  ours: 60_000,
  theirs: 100_000,
  ratio: 0.6,
  ratioSpread: 0.02,
  target: { relation: 'at least', ratio: 0.85 },
  met: false,
};
const met: Row = { ...short, answers: 'pool/point-read', suite: 'pool', ratio: 2, met: true };

const results: Results = {
  machine: describeMachine(),
  versions: {},
  commit: 'abc1234',
  quick: true,
  startedAt: '2026-11-24T10:00:00.000Z',
  seconds: 130,
  ...resultsByTarget([met, short]),
  curves: [
    {
      suite: 'scaling',
      name: 'reads/s by processes',
      x: 'processes',
      y: 'reads/s',
      isLogarithmic: true,
      lines: [{ name: 'ours', points: [[1, 10], [2, 19], [4, 30]] }], // biome-ignore format: one line
    },
  ],
  failures: [{ scenario: 'layer/entity-get', message: 'no Memcached' }],
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bench-page-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('the folder holds the page, the figures and a chart for each curve', async () => {
  await writeResults(folder, results);
  expect((await readdir(folder)).sort()).toEqual([
    'README.md',
    'results.json',
    'scaling-reads-s-by-processes.svg',
    'targets.svg',
  ]);
  const chart = await readFile(join(folder, 'scaling-reads-s-by-processes.svg'), 'utf8');
  expect(chart).toMatch(/^<svg [\s\S]*reads\/s by processes[\s\S]*<\/svg>\s*$/);
  expect(JSON.parse(await readFile(join(folder, 'results.json'), 'utf8')).rows).toHaveLength(
    results.rows.length,
  );
});

test('what falls short stands first, with why; what was not run and what failed is said', async () => {
  await writeResults(folder, results);
  const page = await readFile(join(folder, 'README.md'), 'utf8');
  expect(page.indexOf('## Short of the target')).toBeLessThan(page.indexOf('## Targets'));
  expect(page).toMatch(/\*\*cache: L2 hit, 64 callers\*\*: 0.6 x, wanted >= 0.85 x .*JSON\.parse/);
  expect(page).toMatch(/\| not run \| layer \|/);
  expect(page).toContain('`layer/entity-get`: no Memcached');
});
