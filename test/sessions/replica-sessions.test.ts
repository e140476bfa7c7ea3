import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ReplicaPool } from '@shardline/pool';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import {
  checkDeadlines,
  checkSessions,
  checkWriteOrder,
  openRecorder,
  readHistory,
} from '@shardline/testkit/check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startWorkload, type Workload, workloadSchema } from './workload.js';

/**
 * P4, attacked: sessions hop between pools over replicas that lag by 0, 200 and 500 ms while servers freeze,
 * die and restart, commits hang on a synchronous standby that is not there, and a replica is promoted.
 * What was seen is judged afterwards: no session read misses its own write or goes back.
 *
 * SHARDLINE_TORTURE=1 runs each phase much longer; SHARDLINE_SEED replays a run's choices.
 */
const isLong = process.env['SHARDLINE_TORTURE'] === '1';
const seed = Number(process.env['SHARDLINE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const phaseOperations = isLong ? 20_000 : 1200;
const signingKeys = [{ id: 'test', secret: 'only-for-tests-0123456789-abcdef' }];

/** mulberry32 */
function seeded(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

describe(`sessions over delayed, frozen, killed and promoted servers (seed ${seed})`, () => {
  let folder: string;
  let primary: PostgresServer;
  let quick: PostgresServer;
  let slow: PostgresServer;
  let slowest: PostgresServer;
  const pools: ReplicaPool[] = [];

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
    for (let i = 0; i < 3; i += 1) {
      const pool = new ReplicaPool({
        primary: primary.url,
        replicas: [quick.url, slow.url, slowest.url],
        max: 6,
        pipelining: i === 1,
        monitor: { interval: '200ms', panicInterval: '50ms', timeout: '500ms' },
        sessions: { signingKeys },
      });
      await pool.ready();
      pools.push(pool);
    }
  });

  afterAll(async () => {
    await Promise.all(pools.map((pool) => pool.close({ deadline: '5s' })));
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

  async function hurt(workload: Workload): Promise<void> {
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
    const path = join(folder, 'faults.jsonl');
    const recorder = openRecorder({ path, process: 'faults' });
    const workload = startWorkload({
      pools,
      recorder,
      random: seeded(seed),
      keys: 8,
      callers: 12,
      deadlineMs: 30_000,
    });
    try {
      await hurt(workload);
    } finally {
      await workload.stop();
      recorder.close();
    }
    judge(path, workload, initial, [primary, quick, slow, slowest]);
  });

  test('nor over a promotion that loses nothing', {
    timeout: isLong ? 1_800_000 : 300_000,
  }, async () => {
    // Acknowledged means: on the replica that will be promoted. Else PostgreSQL itself would lose it.
    await setSynchronous(primary, 'ANY 1 ("p4-quick")');
    const initial = await versions(primary);
    const path = join(folder, 'promotion.jsonl');
    const recorder = openRecorder({ path, process: 'promotion' });
    const workload = startWorkload({
      pools,
      recorder,
      random: seeded(seed + 1),
      keys: 8,
      callers: 12,
      deadlineMs: 30_000,
    });
    try {
      await workload.afterMore(phaseOperations);
      await primary.kill();
      await quick.promote();
      await workload.afterMore(phaseOperations);
      // The old one comes back and knows nothing of it: nobody may write there or read its past.
      await primary.restart();
      await workload.afterMore(phaseOperations);
      await slow.follow(quick);
      await slowest.follow(quick);
      await workload.afterMore(phaseOperations);
    } finally {
      await workload.stop();
      recorder.close();
    }
    judge(path, workload, initial, [quick, slow, slowest]);
    const [left] = (await primary.query('SELECT max(version) AS version FROM reading')).rows;
    const [kept] = (await quick.query('SELECT max(version) AS version FROM reading')).rows;
    expect(Number(kept?.['version'])).toBeGreaterThan(Number(left?.['version']));
  });

  async function versions(server: PostgresServer): Promise<ReadonlyMap<string, number>> {
    const { rows } = await server.query<{ key: string; version: number }>('TABLE reading');
    return new Map(rows.map(({ key, version }) => [key, version]));
  }

  function judge(
    path: string,
    workload: Workload,
    initial: ReadonlyMap<string, number>,
    readFrom: readonly PostgresServer[],
  ): void {
    const history = readHistory([path]);
    const { counts } = workload;
    const told = { ...counts, readsByPort: [...counts.readsByPort], errors: [...counts.errors] };
    for (const verdict of [
      checkSessions(history),
      checkWriteOrder(history, { initialVersion: (key) => initial.get(key) ?? 0 }),
      checkDeadlines(history),
    ]) {
      expect(verdict, JSON.stringify({ seed, told, verdict }, bigints)).toMatchObject({
        valid: true,
      });
    }
    // A run in which nothing happened proves nothing.
    expect(counts.hops).toBeGreaterThan(500);
    expect(counts.writes).toBeGreaterThan(500);
    for (const server of readFrom) {
      const reads = counts.readsByPort.get(server.port) ?? 0;
      expect(reads, `${server.name}: ${JSON.stringify(told)}`).toBeGreaterThan(20);
    }
    console.error(`sessions: ${JSON.stringify(told)}`);
  }
});

function bigints(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
