import { type PostgresServer, startPostgres, waitUntil } from '@shardline/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ReplicaPool } from '../replica-pool.js';
import { sealToken } from './token.js';

/**
 * Tokens that are not believed as they stand, against real servers: made-up ones must cost their bearer a question to
 * the primary and no more, and true ones must hold although nobody here has heard of what they say.
 */
describe('a token without a signature', () => {
  let primary: PostgresServer;
  let replica: PostgresServer;
  const pools: ReplicaPool[] = [];
  const soonMs = () => Date.now() + 60_000;

  beforeAll(async () => {
    primary = await startPostgres({ name: 'claims' });
    replica = await primary.addReplica({ name: 'claims-replica' });
    await primary.query('CREATE TABLE bet (id int PRIMARY KEY, stake int NOT NULL)');
    await primary.query('INSERT INTO bet VALUES (1, 10)');
    await primary.waitForReplica(replica);
  });
  afterEach(async () => {
    await setSynchronous('');
    for (const pool of pools.splice(0)) await pool.close();
  });
  afterAll(async () => {
    await replica?.stop();
    await primary?.stop();
  });

  async function open(options: { failoverTimeout?: '1s'; isStale?: boolean } = {}) {
    const { failoverTimeout = '10s', isStale = false } = options;
    const pool = new ReplicaPool({
      primary: { connectionString: primary.url, name: 'primary' },
      replicas: [{ connectionString: replica.url, name: 'replica' }],
      failoverTimeout,
      // Knows what it was told at the start, and nothing that happens later.
      ...(isStale ? { monitor: { interval: '10m' } } : {}),
    });
    pools.push(pool);
    await pool.ready();
    await waitUntil(() => pool.health().status === 'up', { what: 'both servers to be known' });
    return pool;
  }

  async function setSynchronous(names: string): Promise<void> {
    await primary.query(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
    await primary.query('SELECT pg_reload_conf()');
  }

  test.each<[string, { lsn?: bigint; timeline?: number; snapshotXmax?: bigint }]>([
    ['a position that no server will ever reach', { lsn: 2n ** 63n }],
    ['a timeline that has not begun', { timeline: 2 ** 32 - 1 }],
    ['a snapshot of transactions that nobody has begun', { snapshotXmax: 2n ** 63n }],
    ['all of it', { lsn: 2n ** 63n, timeline: 7, snapshotXmax: 2n ** 63n }],
  ])('with %s reads at once, and hands on only what is true', async (_, made) => {
    const pool = await open();
    const { systemIdentifier, position } = await pool.session().position();
    const { lsn = position?.lsn ?? 1n, timeline = 1, snapshotXmax } = made;
    const floor = { position: { timeline, lsn }, snapshotXmax };
    const forged = sealToken({ systemIdentifier, floor, expiresAtMs: soonMs() }, []);
    const session = pool.session(forged);
    const startedMs = performance.now();
    for (const target of [undefined, 'primary', 'replica', undefined] as const) {
      const { rows } = await session.run(() =>
        pool.query({ text: 'SELECT stake FROM bet WHERE id = 1', ...(target && { target }) }),
      );
      expect(rows).toEqual([{ stake: 10 }]);
    }
    expect(performance.now() - startedMs).toBeLessThan(3000);
    const handedOn = await session.position();
    const { rows } = await primary.query<{ lsn: bigint }>(
      "SELECT pg_current_wal_insert_lsn() - '0/0' AS lsn",
    );
    expect(handedOn.position?.timeline).toBe(1);
    expect(handedOn.position?.lsn).toBeLessThanOrEqual(BigInt(rows[0]?.lsn ?? 0));
    expect(handedOn.snapshotXmax ?? 0n).toBeLessThan(2n ** 32n);
  });

  test('that has seen on a replica what the primary does not show yet is never shown less', async () => {
    const seer = await open();
    const stale = await open({ failoverTimeout: '1s', isStale: true });
    // The commit waits for a standby that is not there; the replica shows it all the same.
    await setSynchronous('nobody');
    const hanging = primary.query('UPDATE bet SET stake = 20 WHERE id = 1');
    const stakeAt = async (pool: ReplicaPool, target: 'primary' | 'replica') =>
      (await pool.query({ text: 'SELECT stake FROM bet WHERE id = 1', target })).rows[0].stake;
    await waitUntil(async () => (await stakeAt(seer, 'replica')) === 20, {
      what: 'the replica to show the commit that waits',
    });
    const session = seer.session();
    expect(await session.run(() => stakeAt(seer, 'replica'))).toBe(20);
    const taken = stale.session(await session.token());
    // The primary still shows 10: there is no right answer there before the commit has ended.
    await expect(taken.run(() => stakeAt(stale, 'primary'))).rejects.toMatchObject({
      code: 'POOL_SESSION_UNSETTLED',
    });
    await setSynchronous('');
    await hanging;
    expect(await taken.run(() => stakeAt(stale, 'primary'))).toBe(20);
  });
});
