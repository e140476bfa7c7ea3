import { execFile } from 'node:child_process';
import { access, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { findBinaries, type PostgresServer, type RedisServer } from '@shardline/testkit';

/**
 * The most that an engine gives, as its own tool measures it: no client library, no routing, nothing parsed. It
 * stands in the details of a row, for what is left between both peers and the limit.
 */

const run = promisify(execFile);

interface Limit {
  readonly callers: number;
  readonly seconds: number;
  readonly signal: AbortSignal;
}

/** Commands per second by `redis-benchmark`, which sends sixteen at a time on each connection. */
export async function redisLimit(
  server: RedisServer,
  command: readonly string[],
  { callers, seconds, signal }: Limit,
): Promise<number> {
  const { binary, environment } = await findBinaries('redis');
  // It counts requests and knows no time: as many as a fast machine does in that time.
  const requests = Math.round(seconds * 300_000);
  const { stdout } = await run(
    binary('redis-benchmark'),
    [
      ...['-h', server.host, '-p', String(server.port), '--csv', '-n', String(requests)],
      ...['-c', String(callers), '-P', '16', ...command],
    ],
    { env: { ...process.env, ...environment }, signal },
  );
  const [, perSecond] = /^"[^"]*(?:""[^"]*)*","([\d.]+)"/m.exec(withoutHead(stdout)) ?? [];
  if (perSecond === undefined) throw new Error(`redis-benchmark answered ${stdout}`);
  return Number(perSecond);
}

function withoutHead(csv: string): string {
  return csv.replace(/^"test".*\n/, '');
}

/**
 * Statements per second by `pgbench`, prepared, one thread; undefined where it is not on the machine (the npm package
 * of PostgreSQL has no client programs).
 */
export async function postgresLimit(
  server: PostgresServer,
  script: string,
  { callers, seconds, signal }: Limit,
): Promise<number | undefined> {
  const program = await findPgbench();
  if (program === undefined) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'shardline-pgbench-'));
  try {
    const file = join(folder, 'script.sql');
    await writeFile(file, script);
    const parameters = ['-n', '-M', 'prepared', '-c', String(callers), '-T', String(seconds)];
    const { stdout } = await run(program, [...parameters, '-f', file, server.url], { signal });
    const [, perSecond] = /^tps = ([\d.]+)/m.exec(stdout) ?? [];
    if (perSecond === undefined) throw new Error(`pgbench answered ${stdout}`);
    return Number(perSecond);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const DEBIAN_FOLDER = '/usr/lib/postgresql';

async function findPgbench(): Promise<string | undefined> {
  const versions = await readdir(DEBIAN_FOLDER).catch(() => []);
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter).filter(Boolean),
    ...versions.map((version) => join(DEBIAN_FOLDER, version, 'bin')),
  ];
  for (const folder of folders) {
    const program = join(folder, 'pgbench');
    if (await isThere(program)) return program;
  }
  return undefined;
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
