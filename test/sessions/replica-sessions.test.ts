import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { furthestFirst, type PostgresServer, startPostgres } from '@shardline/testkit';
import {
  checkDeadlines,
  checkSessions,
  checkWriteOrder,
  readHistory,
} from '@shardline/testkit/check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SessionProcesses } from './session-processes.js';
import { type WorkloadCounts, workloadSchema } from './workload.js';

/**
 * P4, attacked: sessions hop between processes over replicas that lag by 0, 200 and 500 ms while servers freeze,
 * die and restart, commits hang on a synchronous standby that is not there, and a replica is promoted.
 * What was seen is judged afterwards: no session read misses its own write or goes back.
 *
 * SHARDLINE_TORTURE=1 runs each phase much longer; SHARDLINE_SEED replays a run's choices.
 */
const isLong = process.env['SHARDLINE_TORTURE'] === '1';
const seed = Number(process.env['SHARDLINE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const phaseOperations = isLong ? 20_000 : 1200;
const signingKeys = [{ id: 'test', secret: 'only-for-tests-0123456789-abcdef' }];

describe(`sessions over delayed, frozen, killed and promoted servers (seed ${seed})`, () => {
  let folder: string;
  let primary: PostgresServer;
  let quick: PostgresServer;
  let slow: PostgresServer;
  let slowest: PostgresServer;
  let processes: SessionProcesses;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shardline-sessions-'));
    primary = await startPostgres({ name: 'p4' });
    await primary.query(workloadSchema);
    await primary.query(
      "INSERT INTO reading SELECT 'k' || i, 1, NULL FROM generate_series(0, 7) i",
    );
    quick = await primary.addReplica({ name: 'p4-quick' });
    slow = await primary.addReplica({ name: 'p4-slow', applyDelay: '200ms' });
    slowest = await primary.addReplica({ name: 'p4-slowest', applyDelay: '500ms' });
    for (const replica of [quick, slow, slowest]) await primary.waitForReplica(replica);
    const options = {
      primary: primary.url,
      replicas: [quick.url, slow.url, slowest.url],
      max: 6,
      monitor: { interval: '200ms', panicInterval: '50ms', timeout: '500ms' },
      sessions: { signingKeys },
    } as const;
    // Each has a monitor, connections and knowledge of its own.
    processes = await SessionProcesses.start([
      options,
      { ...options, pipelining: true },
      { ...options, max: 3 },
    ]);
  });

  afterAll(async () => {
    await processes?.end();
    for (const server of [slowest, slow, quick, primary]) await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function setSynchronous(server: PostgresServer, names: string): Promise<void> {
    await server.query(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
    await server.query('SELECT pg_reload_conf()');
  }

  async function pause(milliseconds: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  }

  async function hurt(workload: SessionProcesses): Promise<void> {
    await workload.afterMore(phaseOperations);

    await quick.freeze();
    await pause(1500);
    await quick.thaw();
    await workload.afterMore(phaseOperations);

    await slow.kill();
    await pause(300);
    await slow.restart();
    await workload.afterMore(phaseOperations);

    // Commits hang, and replicas show what the primary does not.
    for (let i = 0; i < (isLong ? 20 : 3); i += 1) {
      await setSynchronous(primary, 'nobody');
      await pause(400);
      await setSynchronous(primary, '');
      await workload.afterMore(phaseOperations / 4);
    }

    await primary.kill();
    await pause(300);
    await primary.restart();
    await workload.afterMore(phaseOperations);
  }

  test('no session read misses its own write or goes back', {
    timeout: isLong ? 1_800_000 : 300_000,
  }, async () => {
    const initial = await versions(primary);
    await processes.begin({
      folder,
      name: 'faults',
      seed: seed,
      keys: 8,
      callers: 4,
      deadlineMs: 30_000,
    });
    let paths: string[] = [];
    try {
      await hurt(processes);
      await everyoneHasRead([primary, quick, slow, slowest]);
    } finally {
      paths = await processes.stop();
    }
    judge(paths, processes.counts, initial, [primary, quick, slow, slowest]);
  });

  test('nor over a promotion that loses nothing', {
    timeout: isLong ? 1_800_000 : 300_000,
  }, async () => {
    // Acknowledged means: on the replica that will be promoted. Else PostgreSQL itself would lose it.
    await setSynchronous(primary, 'ANY 1 ("p4-quick")');
    const initial = await versions(primary);
    await processes.begin({
      folder,
      name: 'promotion',
      seed: seed + 1,
      keys: 8,
      callers: 4,
      deadlineMs: 30_000,
    });
    let paths: string[] = [];
    let heir = quick;
    try {
      await processes.afterMore(phaseOperations);
      await primary.kill();
      // Under load another replica may have received one write more than the synchronous one.
      const [furthest = quick, ...others] = await furthestFirst([quick, slow, slowest]);
      heir = furthest;
      await heir.promote();
      await processes.afterMore(phaseOperations);
      for (const other of others) await other.follow(heir);
      await processes.afterMore(phaseOperations);
      // The old one comes back and knows nothing of it: nobody may write there or read its past.
      await primary.restart();
      await processes.afterMore(phaseOperations);
      await everyoneHasRead([quick, slow, slowest]);
    } finally {
      paths = await processes.stop();
    }
    judge(paths, processes.counts, initial, [quick, slow, slowest]);
    const [left] = (await primary.query('SELECT max(version) AS version FROM reading')).rows;
    const [kept] = (await heir.query('SELECT max(version) AS version FROM reading')).rows;
    expect(Number(kept?.['version'])).toBeGreaterThan(Number(left?.['version']));
  });

  async function everyoneHasRead(servers: readonly PostgresServer[]): Promise<void> {
    await processes.afterReadsFrom(
      servers.map(({ port }) => port),
      21,
    );
  }

  async function versions(server: PostgresServer): Promise<ReadonlyMap<string, number>> {
    const { rows } = await server.query<{ key: string; version: number }>('TABLE reading');
    return new Map(rows.map(({ key, version }) => [key, version]));
  }

  function judge(
    paths: readonly string[],
    counts: WorkloadCounts,
    initial: ReadonlyMap<string, number>,
    readFrom: readonly PostgresServer[],
  ): void {
    const history = readHistory([...paths]);
    for (const verdict of [
      checkSessions(history),
      checkWriteOrder(history, { initialVersion: (key) => initial.get(key) ?? 0 }),
      checkDeadlines(history),
    ]) {
      expect(verdict, JSON.stringify({ seed, counts, verdict }, bigints)).toMatchObject({
        valid: true,
      });
    }
    // A run in which nothing happened proves nothing.
    expect(counts.hops).toBeGreaterThan(500);
    expect(counts.writes).toBeGreaterThan(500);
    for (const server of readFrom) {
      const reads = counts.readsByPort[server.port] ?? 0;
      expect(reads, `${server.name}: ${JSON.stringify(counts)}`).toBeGreaterThan(20);
    }
    console.error(`sessions: ${JSON.stringify(counts)}`);
  }
});

function bigints(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
