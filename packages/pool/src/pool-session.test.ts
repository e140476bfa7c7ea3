import { expect, test } from 'vitest';
import { type ReplicaPool, runInPoolSessions } from './index.js';
import type { ReplicaPoolOptions } from './options.js';
import { TestReplicas, until } from './testing-replicas.js';

const servers = new TestReplicas('sessions');

test('a session reads its own writes, and goes back to replicas once these have caught up', async () => {
  const pool = await servers.openPool();
  let fromReplica = 0;
  for (let id = 1000; id < 1030; id += 1) {
    const session = pool.session();
    await session.run(async () => {
      await pool.query('INSERT INTO bet VALUES ($1, $2)', [id, id]);
      if (id % 2 === 0) await session.token(); // Its position is known from here on.
      const { rows } = await pool.query(
        'SELECT stake, pg_is_in_recovery() AS standby FROM bet WHERE id = $1',
        [id],
      );
      expect(rows.map(({ stake }) => stake)).toEqual([id]);
      if (rows[0].standby) fromReplica += 1;
    });
  }
  expect(fromReplica).toBeGreaterThan(0);
});

test('a token carries a session to another pool, also when the only replica is late', async () => {
  const writer = await servers.openPool();
  const reader = await servers.openPool({ replicas: [servers.lateNode] });
  for (let id = 2000; id < 2010; id += 1) {
    const session = writer.session();
    await session.run(() => writer.query('INSERT INTO bet VALUES ($1, 1)', [id]));
    const token = await session.token();
    expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
    const { rows } = await reader.runInSession(token, () =>
      reader.query('SELECT id FROM bet WHERE id = $1', [id]),
    );
    expect(rows).toHaveLength(1);
  }
});

test('a position carries a session as a token does, also for work over several pools', async () => {
  const writer = await servers.openPool();
  const reader = await servers.openPool({ replicas: [servers.lateNode] });
  const stranger = await servers.openPool();
  for (let id = 4000; id < 4010; id += 1) {
    const session = writer.session();
    await session.run(() => writer.query('INSERT INTO bet VALUES ($1, 1)', [id]));
    const position = await session.position();
    expect(position.position?.lsn).toBeGreaterThan(0n);
    const select = () => reader.query('SELECT id FROM bet WHERE id = $1', [id]);
    for (const taken of [
      reader.sessionAt(position),
      reader.sessionAt(position, { isTrusted: false }),
      // At the primary, whatever it has been before.
      reader.sessionAt(undefined),
      reader.sessionAt({ ...position, systemIdentifier: '1' }),
    ]) {
      const inSession = (pool: object) => (pool === reader ? taken : undefined);
      const rows = await runInPoolSessions(inSession, async () => {
        await stranger.query('SELECT 1');
        return (await select()).rows;
      });
      expect(rows).toHaveLength(1);
    }
    const merged = reader.session();
    merged.merge(position);
    expect((await merged.run(select)).rows).toHaveLength(1);
  }
});

test('what every server in use has reached is known without asking, and only grows', async () => {
  const pool = await servers.openPool();
  await pool.ready();
  await expect.poll(() => pool.reachedPosition?.position?.lsn).toBeGreaterThan(0n);
  const before = pool.reachedPosition?.position?.lsn ?? 0n;
  await pool.query('INSERT INTO bet VALUES (5000, 1)');
  await expect.poll(() => pool.reachedPosition?.position?.lsn).toBeGreaterThan(before);
});

test('replicas are asked whether they have caught up only for a session that will read', async () => {
  // After the start neither pool asks anybody but for a session.
  const options: ReplicaPoolOptions = { monitor: { interval: '10m' } };
  const [one, other] = [await servers.openPool(options), await servers.openPool(options)];
  const write = async (pool: ReplicaPool, id: number, willRead: boolean) => {
    const session = pool.session(undefined, { willRead });
    await session.run(() => pool.query('INSERT INTO bet VALUES ($1, 1)', [id]));
    return (await session.position()).position?.lsn ?? 0n;
  };
  const hasReached = (pool: ReplicaPool, lsn: bigint) =>
    (pool.reachedPosition?.position?.lsn ?? 0n) >= lsn;
  const unread = await write(one, 6000, false);
  const read = await write(other, 6001, true);
  await until(() => hasReached(other, read));
  expect(hasReached(one, unread)).toBe(false);
  const lastly = await write(one, 6002, true);
  await until(() => hasReached(one, lastly));
});

test('a session that was not to read sees its own writes all the same, with a late replica alone', async () => {
  const pool = await servers.openPool({ replicas: [servers.lateNode] });
  for (let id = 7000; id < 7010; id += 1) {
    const session = pool.session(undefined, { willRead: false });
    const { rows } = await session.run(async () => {
      await pool.query('INSERT INTO bet VALUES ($1, 1)', [id]);
      // With its position known, a replica that is behind is no longer out of the question.
      if (id % 2 === 0) await session.position();
      return pool.query('SELECT id FROM bet WHERE id = $1', [id]);
    });
    expect(rows).toHaveLength(1);
  }
});

test('a transaction raises the floor at its commit', async () => {
  const pool = await servers.openPool();
  await pool.session().run(async () => {
    const client = await pool.connect();
    await client.query('BEGIN');
    await client.query('INSERT INTO bet VALUES (3000, 1)');
    await client.query('COMMIT');
    client.release();
    const { rows } = await pool.query('SELECT id FROM bet WHERE id = 3000');
    expect(rows).toHaveLength(1);
  });
});

test('a signed token that was tampered with is refused', async () => {
  const signingKeys = [{ id: 'k1', secret: 'x'.repeat(32) }];
  const pool = await servers.openPool({ sessions: { signingKeys } });
  const session = pool.session();
  await session.run(() => pool.query('SELECT 1'));
  const token = await session.token();
  expect(() => pool.session(token)).not.toThrow();
  const forged = token.slice(0, 20) + (token[20] === 'A' ? 'B' : 'A') + token.slice(21);
  expect(() => pool.session(forged)).toThrow(/POOL_TOKEN/);
});
