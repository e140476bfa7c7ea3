import { execFile } from 'node:child_process';
import { lstat, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { isShardlineError } from '@shardline/core';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

const run = promisify(execFile);

/** A cache folder of each test's own, empty, and modules that remember no other. */
let cache: string;
let embeddedPostgres: typeof import('./embedded-postgres.js').embeddedPostgres;
let findBinaries: typeof import('./find-binaries.js').findBinaries;

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'testkit-cache-'));
  vi.stubEnv('SHARDLINE_CACHE', cache);
  vi.resetModules();
  ({ embeddedPostgres } = await import('./embedded-postgres.js'));
  ({ findBinaries } = await import('./find-binaries.js'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  vi.resetModules();
  await rm(cache, { recursive: true, force: true });
});

describe('PostgreSQL from npm', () => {
  test('is copied into the cache once, with its links, for every user to run', async () => {
    const [first, second] = await Promise.all([embeddedPostgres(), embeddedPostgres()]);
    expect(first?.origin).toBe('npm');
    expect(second?.binary('postgres')).toBe(first?.binary('postgres'));
    // Two at once: one place, nothing half-made beside it.
    expect(await readdir(cache)).toHaveLength(1);
    const program = first?.binary('postgres') ?? '';
    expect((await stat(program)).mode & 0o777).toBe(0o755);
    const { stdout } = await run(program, ['--version'], { env: { ...first?.environment } });
    expect(stdout).toContain(first?.version);
    const { ino } = await stat(program);
    await embeddedPostgres();
    expect((await stat(program)).ino).toBe(ino);
  });

  test('has the links between its libraries although its install script never ran', async () => {
    const installation = await embeddedPostgres();
    const folder = dirname(dirname(installation?.binary('postgres') ?? ''));
    const main = createRequire(import.meta.url).resolve(
      `@embedded-postgres/${process.platform}-${process.arch}`,
    );
    const list = join(dirname(dirname(main)), 'native', 'pg-symlinks.json');
    const links = JSON.parse(await readFile(list, 'utf8')) as { source: string; target: string }[];
    expect(links.length).toBeGreaterThan(3);
    for (const { source, target } of links) {
      const link = join(folder, target.replace(/^native\//, ''));
      expect((await lstat(link)).isSymbolicLink()).toBe(true);
      expect((await stat(link)).size).toBe(
        (await stat(join(dirname(link), basename(source)))).size,
      );
    }
  });
});

describe('finding programs', () => {
  test('a folder that is named for a version is taken if its programs are of that version', async () => {
    const embedded = await embeddedPostgres();
    const major = Number.parseInt(embedded?.version ?? '', 10);
    vi.stubEnv(`SHARDLINE_POSTGRES_BIN_${major}`, dirname(embedded?.binary('postgres') ?? ''));
    const found = await findBinaries('postgres', { version: major });
    expect(found.origin).toBe('path');
    expect(found.version).toBe(embedded?.version);
    // The same programs under a wrong number are no PostgreSQL 44.
    vi.stubEnv('SHARDLINE_POSTGRES_BIN_44', dirname(embedded?.binary('postgres') ?? ''));
    await expect(findBinaries('postgres', { version: 44 })).rejects.toThrow();
  });

  test('says exactly what to install when there are none', async () => {
    await expect(findBinaries('postgres', { version: 45 })).rejects.toSatisfy(
      (error) =>
        isShardlineError(error, 'TESTKIT_BINARY_MISSING') &&
        error.message.includes('No postgres 45 server was found') &&
        error.message.includes('apt-get install postgresql-45') &&
        error.message.includes('SHARDLINE_POSTGRES_BIN_45'),
    );
  });
});
