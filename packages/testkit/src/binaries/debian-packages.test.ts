import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isShardlineError } from '@shardline/core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ServerKind } from '../server/server.js';
import { complaints, namesOfDependencies, packagesToInstall } from './apt.js';
import { isSharedLibrary, unpackDebianPackages } from './debian-packages.js';
import { type Installation, mainProgram } from './installation.js';

const run = promisify(execFile);

describe('what apt says', () => {
  it('is read from a simulated installation, upgrades included', () => {
    const simulation = [
      'The following NEW packages will be installed:',
      '  libjemalloc2 redis-server',
      'Inst libssl3 [3.0.15-1] (3.0.17-1 Debian-Security:12/stable-security [amd64])',
      'Inst libjemalloc2 (5.3.0-1 Debian:12.15/oldstable [amd64])',
      'Inst redis-server (5:7.0.15-1~deb12u10 Debian-Security:12 [amd64])',
      'Conf libjemalloc2 (5.3.0-1 Debian:12.15/oldstable [amd64])',
    ].join('\n');
    expect(packagesToInstall(simulation)).toEqual(['libssl3', 'libjemalloc2', 'redis-server']);
  });

  it('is read from a tree of dependencies, virtual packages left out', () => {
    const tree = [
      'pgbouncer',
      '  Depends: libc-ares2',
      ' |Depends: <debconf-2.0>',
      'libc-ares2',
      '  Depends: libc6',
      '<debconf-2.0>',
      '  cdebconf',
      'libc6',
      'libc-ares2',
    ].join('\n');
    expect(namesOfDependencies(tree)).toEqual(['pgbouncer', 'libc-ares2', 'libc6']);
  });

  it('is quoted where it complains, each complaint once', () => {
    expect(complaints('Hit:1 x\nE: no candidate\nReading\nE: no candidate\nW: old')).toBe(
      'E: no candidate W: old',
    );
  });

  it.each([
    ['libjemalloc2', true],
    ['libssl3t64', true],
    ['libc-ares2', true],
    ['libc6', false],
    ['libc6:amd64', false],
    ['libjson-perl', false],
    ['libperl5.36', false],
    ['adduser', false],
  ])('tells libraries from what only an installation needs: %s', (name, expected) => {
    expect(isSharedLibrary(name)).toBe(expected);
  });
});

it('has nothing to do with PostgreSQL', async () => {
  expect(await unpackDebianPackages('postgres')).toBeUndefined();
});

const hasApt = existsSync('/usr/bin/apt-get');

/** These talk to the real package archive; where there is no apt there is nothing to unpack. */
describe.runIf(hasApt)('unpacking', () => {
  const priorConfiguration = process.env['APT_CONFIG'];
  let scratch: string;
  /** What a system without lists and without a single library gets. */
  let bareCache: string;
  let before: unknown;
  const bare = new Map<ServerKind, Installation>();

  beforeAll(async () => {
    before = await systemState();
    scratch = await mkdtemp(join(tmpdir(), 'shardline-unpack-'));
    bareCache = join(scratch, 'bare');
    const status = join(scratch, 'status');
    await writeFile(status, '');
    await pretend([await emptyLists(), `Dir::State::status "${status}";`]);
    for (const kind of ['redis', 'memcached', 'pgbouncer'] as const) {
      bare.set(kind, await unpack(kind, bareCache));
    }
    pretendNothing();
  });

  afterEach(pretendNothing);

  afterAll(async () => {
    await rm(scratch, { recursive: true, force: true });
  });

  /** Lets apt see another system: settings in a file that it reads before the system's own. */
  async function pretend(lines: readonly string[]): Promise<void> {
    const file = join(scratch, 'apt.conf');
    await writeFile(file, `${lines.join('\n')}\n`);
    process.env['APT_CONFIG'] = file;
  }

  function pretendNothing(): void {
    if (priorConfiguration === undefined) delete process.env['APT_CONFIG'];
    else process.env['APT_CONFIG'] = priorConfiguration;
  }

  async function emptyLists(): Promise<string> {
    const folder = join(scratch, 'empty-lists');
    await mkdir(join(folder, 'partial'), { recursive: true });
    return `Dir::State::lists "${folder}";`;
  }

  async function unpack(kind: ServerKind, cache: string): Promise<Installation> {
    const installation = await unpackDebianPackages(kind, { cache });
    if (installation === undefined) throw new Error('nothing was unpacked');
    return installation;
  }

  function unpacked(kind: ServerKind): Installation {
    const installation = bare.get(kind);
    if (installation === undefined) throw new Error(`${kind} was not unpacked`);
    return installation;
  }

  /** The folder that holds a cache's kinds and lists. */
  function kindsFolder(installation: Installation): string {
    return join(installation.binary(mainProgram[installation.kind]), '../../../..');
  }

  async function listsIn(folder: string): Promise<string[]> {
    return (await readdir(folder)).filter((name) => name.startsWith('lists-'));
  }

  async function expectToRun(installation: Installation, program: string): Promise<void> {
    const { stdout } = await run(installation.binary(program), ['--version'], {
      env: { ...process.env, ...installation.environment },
    });
    expect(stdout).toContain(installation.version);
  }

  it.each<[ServerKind, string]>([
    ['redis', 'redis-server'],
    ['redis', 'redis-cli'],
    ['memcached', 'memcached'],
    ['pgbouncer', 'pgbouncer'],
  ])('gives a %s whose %s runs, from the cache folder', async (kind, program) => {
    const installation = unpacked(kind);
    expect(installation).toMatchObject({ kind, origin: 'debian-packages' });
    expect(installation.binary(program).startsWith(bareCache)).toBe(true);
    await expectToRun(installation, program);
  });

  it.each<[ServerKind, string]>([
    ['redis', 'redis-server'],
    ['memcached', 'memcached'],
    ['pgbouncer', 'pgbouncer'],
  ])('brings every library of %s to a system that has none', async (kind, program) => {
    const installation = unpacked(kind);
    const { stdout } = await run('ldd', [installation.binary(program)], {
      env: { ...process.env, ...installation.environment },
    });
    const foreign = stdout
      .split('\n')
      .filter((line) => line.includes('=>') && !line.includes(bareCache))
      .map((line) => line.trim().split(' ')[0] ?? '');
    // Only the C library and its parts come from the system.
    expect(foreign.filter((name) => !/^lib(c|m|dl|rt|pthread|resolv)\.so/.test(name))).toEqual([]);
  });

  it('fetches lists of its own where the system has none, once for all kinds', async () => {
    expect(await listsIn(kindsFolder(unpacked('redis')))).toHaveLength(1);
    expect(await readdir(join(scratch, 'empty-lists'))).toEqual(['partial']);
  });

  it('leaves the lists and packages of the system as they are', async () => {
    expect(await systemState()).toEqual(before);
  });

  it('leaves nothing but the programs, readable by everyone', async () => {
    const program = unpacked('memcached').binary('memcached');
    const folder = join(program, '../../..');
    const names = await readdir(folder);
    expect(names).toContain('usr');
    expect(names.filter((name) => /^(apt|packages)$/.test(name))).toEqual([]);
    const siblings = await readdir(join(folder, '..'));
    expect(siblings.filter((name) => name.includes('.part-'))).toEqual([]);
    expect((await stat(folder)).mode & 0o777).toBe(0o755);
    expect((await stat(program)).mode & 0o777).toBe(0o755);
  });

  it('does no work the second time', async () => {
    const program = unpacked('memcached').binary('memcached');
    const { mtimeMs, ino } = await stat(program);
    await pretend(['#include "/nonexistent/so that any apt fails";']);
    const again = await unpack('memcached', bareCache);
    expect(again.binary('memcached')).toBe(program);
    expect(await stat(program)).toMatchObject({ mtimeMs, ino });
  });

  it('may be done by several runs at once, and uses the lists that the system has', async () => {
    const cache = join(scratch, 'shared');
    const all = await Promise.all([1, 2, 3].map(() => unpack('memcached', cache)));
    for (const installation of all) await expectToRun(installation, 'memcached');
    const names = await readdir(kindsFolder(all[0] as Installation));
    expect(names.filter((name) => name.includes('.part-'))).toEqual([]);
  });

  it('replaces programs that do not run any more', async () => {
    const cache = join(scratch, 'shared');
    const first = await unpack('memcached', cache);
    await writeFile(first.binary('memcached'), 'not a program');
    await expectToRun(await unpack('memcached', cache), 'memcached');
  });

  it('says what failed and what to do where the archive cannot be reached', async () => {
    const cache = join(scratch, 'cut-off');
    await pretend([
      await emptyLists(),
      'Acquire::http::Proxy "http://127.0.0.1:1";',
      'Acquire::https::Proxy "http://127.0.0.1:1";',
    ]);
    const failure = await unpackDebianPackages('redis', { cache }).catch((error) => error);
    expect(isShardlineError(failure, 'TESTKIT_UNPACK_FAILED')).toBe(true);
    expect(failure.message).toContain('apt-get install redis-server');
    expect(failure.message).toMatch(/127\.0\.0\.1|Unable to locate package|no candidate/i);
    const left = await readdir(cache, { recursive: true });
    expect(left.filter((name) => /part-|lists-/.test(name))).toEqual([]);
  });

  async function systemState(): Promise<unknown> {
    const lists = await readdir('/var/lib/apt/lists').catch(() => []);
    const archives = await readdir('/var/cache/apt/archives').catch(() => []);
    return { lists, archives, status: readFileSync('/var/lib/dpkg/status', 'utf8') };
  }
});
