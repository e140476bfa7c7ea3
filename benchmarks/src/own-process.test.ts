import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Report, runInOwnProcess, ScenarioFailedError } from './own-process.js';
import type { Scenario } from './scenario.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shardline-bench-'));
});
afterAll(() => rm(folder, { recursive: true }));

const scenario = (name: string): Scenario => ({
  suite: 'placement',
  name,
  situation: 'none',
  run: async () => [],
});

/** Runs a program in the place of the one that the runner forks. */
async function runProgram(source: string, interruptAt?: string) {
  const program = join(folder, 'program.mjs');
  await writeFile(program, source);
  return run(pathToFileURL(program), 'any', interruptAt);
}

async function run(program: URL, name: string, interruptAt?: string) {
  const heard: Report[] = [];
  const interrupted = new AbortController();
  const rows = runInOwnProcess(
    scenario(name),
    { program, quick: true, signal: interrupted.signal },
    {
      onNote: (text) => {
        heard.push({ kind: 'note', text });
        if (text === interruptAt) interrupted.abort();
      },
      onCurve: (curve) => heard.push({ kind: 'curve', curve }),
      onStray: (failure) => heard.push({ kind: 'stray', failure }),
    },
  );
  return { heard, rows: await rows };
}

const REAL = new URL('../dist/scenario.js', import.meta.url);

test('a scenario is measured in its process, and its rows are what it has found there', async () => {
  const { rows } = await run(REAL, 'balance');
  expect(rows.map(({ answers }) => answers)).toContain('placement/balance');
  expect(rows.every(({ met }) => met)).toBe(true);
});

test('a scenario that fails is told with what is known where it failed', async () => {
  const failed = run(REAL, 'no-such');
  await expect(failed).rejects.toThrow("There is no scenario 'placement/no-such'.");
  const details = await failed.catch((error: ScenarioFailedError) => error.failure.details);
  expect(details).toMatch(/at .*scenario/);
});

test('notes, failures that nobody waits for, and a ratio without bounds arrive as they are', async () => {
  const { heard, rows } = await runProgram(`
    const failure = { message: 'lost', details: 'lost, here' };
    process.send({ kind: 'note', text: process.argv.slice(2).join(' ') });
    process.send({ kind: 'stray', failure });
    process.send({ kind: 'rows', rows: [{ ratio: Infinity }] }, () => process.exit());
  `);
  expect(heard).toEqual([
    { kind: 'note', text: 'placement/any --quick' },
    { kind: 'stray', failure: { message: 'lost', details: 'lost, here' } },
  ]);
  expect(rows).toEqual([{ ratio: Number.POSITIVE_INFINITY }]);
});

test.each([
  ['process.exit(3)', /ended before the scenario did \(exit code 3\)/],
  ["process.kill(process.pid, 'SIGKILL')", /ended before the scenario did \(SIGKILL\)/],
])('a process that dies by %s fails its scenario', async (source, message) => {
  const failed = runProgram(source);
  await expect(failed).rejects.toBeInstanceOf(ScenarioFailedError);
  await expect(failed).rejects.toThrow(message);
});

test('an interrupted run asks the scenario to end, and takes what it has', async () => {
  const { rows } = await runProgram(
    `
    const timer = setInterval(() => {}, 1000);
    process.once('SIGTERM', () => {
      clearInterval(timer);
      process.send({ kind: 'rows', rows: [{ ratio: 1 }] }, () => process.exit());
    });
    process.send({ kind: 'note', text: 'begun' });
  `,
    'begun',
  );
  expect(rows).toEqual([{ ratio: 1 }]);
});
