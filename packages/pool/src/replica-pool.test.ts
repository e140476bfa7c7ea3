import { isShardlineError } from '@shardline/core';
import { startPostgres } from '@shardline/testkit';
import type pg from 'pg';
import { describe, expect, test } from 'vitest';
import { ReplicaPool } from './index.js';
import type { ReplicaPoolOptions } from './options.js';
import { TestReplicas, until } from './testing-replicas.js';

const servers = new TestReplicas('routing');

const WHERE = "SELECT pg_is_in_recovery() AS standby, current_setting('port') AS port";

async function portOf(client: Pick<pg.Pool, 'query'>, text = WHERE): Promise<string> {
  const { rows } = await client.query(text);
  return String(rows[0].port);
}

describe('routing', () => {
  test('reads go to replicas, writes to the primary', async () => {
    const pool = await servers.openPool();
    const { rows } = await pool.query('SELECT pg_is_in_recovery() AS standby');
    expect(rows).toEqual([{ standby: true }]);
    await pool.query('INSERT INTO bet VALUES (1, 10)');
    expect((await servers.primary.query('SELECT stake FROM bet WHERE id = 1')).rows).toEqual([
      { stake: 10 },
    ]);
  });

  test('reads are spread over the replicas', async () => {
    const pool = await servers.openPool({ balancing: 'round-robin' });
    const ports = new Set<string>();
    for (let n = 0; n < 10; n += 1) {
      ports.add(await portOf(pool, "SELECT current_setting('port') AS port, pg_is_in_recovery()"));
    }
    expect(ports).toEqual(new Set([String(servers.prompt.port), String(servers.late.port)]));
  });

  test('reads go to the primary where that is the declared default', async () => {
    const pool = await servers.openPool({ reads: 'primary' });
    expect((await pool.query(WHERE)).rows[0].standby).toBe(false);
  });

  test('hints, targets and views of the pool override', async () => {
    const pool = await servers.openPool();
    const standby = async (result: Promise<pg.QueryResult>) => (await result).rows[0].standby;
    expect(await standby(pool.query(`/* primary */ ${WHERE}`))).toBe(false);
    expect(await standby(pool.query({ text: WHERE, target: 'primary' }))).toBe(false);
    expect(await standby(pool.primary.query(WHERE))).toBe(false);
    expect(await standby(pool.reader.query(WHERE))).toBe(true);
    expect(
      await portOf({
        query: (text: string) => pool.query({ text, target: { node: 'late' } }),
      } as never),
    ).toBe(String(servers.late.port));
    await expect(pool.query({ text: WHERE, target: { node: 'nobody' } })).rejects.toMatchObject({
      code: 'POOL_NO_REPLICA',
    });
  });

  test('says where a statement would go, and why, and sends nothing', async () => {
    const pool = await servers.openPool();
    const read = await pool.explain('SELECT stake FROM bet WHERE id = $1');
    expect(read).toMatchObject({ statement: 'read', role: 'replica', reason: 'SELECT' });
    expect([...read.nodes].sort()).toEqual(['late', 'prompt']);
    expect(await pool.explain('SELECT 1 FROM bet FOR UPDATE')).toMatchObject({
      role: 'primary',
      nodes: ['primary'],
      reason: expect.stringMatching(/lock/i),
    });
    expect(await pool.explain('SELECT 1', { target: 'primary' })).toMatchObject({
      role: 'primary',
      reason: 'the caller asked for the primary',
    });
    await pool.explain('INSERT INTO bet VALUES (4711, 1)');
    expect((await pool.primary.query('SELECT 1 FROM bet WHERE id = 4711')).rows).toEqual([]);
    await expect(pool.explain('SELECT 1', { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ABORTED',
    });
  });

  test('a volatile function of the database runs on the primary', async () => {
    const pool = await servers.openPool();
    expect((await pool.query('SELECT touch(77) AS stake')).rows).toEqual([{ stake: 77 }]);
  });

  test('a misrouted write heals: it runs on the primary, and the text is remembered', async () => {
    // Declared stable, and not: only a standby that refuses it can tell.
    await servers.primary.query('CREATE SEQUENCE hidden');
    await servers.primary.query(`CREATE FUNCTION sly(n int) RETURNS int LANGUAGE plpgsql STABLE
      AS $$ BEGIN PERFORM nextval('hidden'); RETURN n; END $$`);
    await servers.primary.waitForReplica(servers.prompt);
    await servers.primary.waitForReplica(servers.late);
    const pool = await servers.openPool();
    const lines: string[] = [];
    pool.options.log = (line: string) => lines.push(line);
    expect((await pool.query('SELECT sly(5) AS n')).rows).toEqual([{ n: 5 }]);
    expect((await pool.query('SELECT sly(5) AS n')).rows).toEqual([{ n: 5 }]);
    expect(lines.length).toBe(3);
    expect(lines.at(-1)).toContain('goes to primary');
  });
});

describe('a client from connect()', () => {
  test('binds by its first statement: a read to a replica', async () => {
    const pool = await servers.openPool();
    const client = await pool.connect();
    expect((await client.query(WHERE)).rows[0].standby).toBe(true);
    client.release();
    await until(() => pool.idleCount === pool.totalCount);
  });

  test('moves to the primary when a write comes, and stays there', async () => {
    const pool = await servers.openPool();
    const client = await pool.connect();
    expect((await client.query(WHERE)).rows[0].standby).toBe(true);
    await client.query('INSERT INTO bet VALUES (100, 1)');
    expect((await client.query(WHERE)).rows[0].standby).toBe(false);
    client.release();
  });

  test('a transaction runs on the primary, read-only ones on a replica', async () => {
    const pool = await servers.openPool();
    const writing = await pool.connect();
    await writing.query('BEGIN');
    expect((await writing.query(WHERE)).rows[0].standby).toBe(false);
    await writing.query('INSERT INTO bet VALUES (101, 1)');
    await writing.query('COMMIT');
    writing.release();

    for (const begin of ['BEGIN READ ONLY', 'BEGIN; SET TRANSACTION READ ONLY']) {
      const reading = await pool.connect();
      for (const text of begin.split('; ')) await reading.query(text);
      expect((await reading.query(WHERE)).rows[0].standby).toBe(true);
      await expect(reading.query('DELETE FROM bet')).rejects.toMatchObject({ code: '25006' });
      await reading.query('ROLLBACK');
      reading.release();
    }
  });

  test('an empty transaction is answered without a server', async () => {
    const pool = await servers.openPool();
    const client = await pool.connect();
    expect((await client.query('BEGIN')).command).toBe('BEGIN');
    expect(client.getTransactionStatus()).toBe('T');
    expect((await client.query('COMMIT')).command).toBe('COMMIT');
    expect(client.getTransactionStatus()).toBe('I');
    client.release();
  });

  test('keeps a session setting on the connection that has it', async () => {
    const pool = await servers.openPool();
    const client = await pool.connect();
    await client.query(WHERE);
    await client.query("SET application_name = 'mine'");
    const { rows } = await client.query("SELECT current_setting('application_name') AS name");
    expect(rows).toEqual([{ name: 'mine' }]);
    client.release(true);
  });

  test('answers by callback, forwards notifications, refuses use after release', async () => {
    const pool = await servers.openPool();
    const client = await pool.connect();
    const heard = new Promise<pg.Notification>((resolve) => client.on('notification', resolve));
    await client.query('LISTEN bets');
    await pool.query("NOTIFY bets, 'placed'");
    expect((await heard).payload).toBe('placed');
    const rows = await new Promise((resolve, reject) => {
      client.query('SELECT $1::int AS n', [3], (error, result) =>
        error ? reject(error) : resolve(result.rows),
      );
    });
    expect(rows).toEqual([{ n: 3 }]);
    client.release(true);
    await expect(client.query('SELECT 1')).rejects.toMatchObject({
      code: 'POOL_USED_AFTER_RELEASE',
    });
    expect(() => client.release()).toThrow('already been released');
  });
});

describe('bad input', () => {
  test.each<[string, ReplicaPoolOptions, string[]]>([
    ['an empty list of replicas', { primary: 'postgres://a/b', replicas: [] }, ['replicas']],
    [
      'two servers of one address',
      { primary: 'postgres://a/b', replicas: ['postgres://a/c'] },
      ['replicas[0]'],
    ],
    [
      'both names of one thing',
      { acquireTimeout: '1s', connectionTimeoutMillis: 5 },
      ['acquireTimeout'],
    ],
    ['min above max', { min: 5, max: 2 }, ['min']],
    ['a primary beside a host', { primary: 'postgres://a/b', host: 'c' }, ['host']],
    [
      'several at once',
      { acquireTimeout: 5 as never, maxx: 3 } as never,
      ['acquireTimeout', 'maxx'],
    ],
  ])('%s is refused, naming every fault', (_, options, paths) => {
    let error: unknown;
    try {
      new ReplicaPool(options);
    } catch (caught) {
      error = caught;
    }
    expect(isShardlineError(error, 'CONFIG_INVALID')).toBe(true);
    const faults = (error as { details: { faults: { path: string }[] } }).details.faults;
    expect(faults.map(({ path }) => path)).toEqual(paths);
  });

  test('two servers that both take writes are refused, both of them', async () => {
    const other = await startPostgres({ name: 'other-primary' });
    await using pool = new ReplicaPool({
      primary: { connectionString: servers.primary.url, name: 'primary' },
      replicas: [{ connectionString: other.url, name: 'other' }],
    });
    await until(async () => {
      const error = await pool.query('CREATE TABLE IF NOT EXISTS split (id int)').catch((e) => e);
      return isShardlineError(error, 'POOL_SPLIT_BRAIN');
    });
    expect(pool.health()).toMatchObject({ status: 'down', primary: undefined });
    await other.stop();
  });

  test('a replica of another cluster is never read from, and the health says what it is', async () => {
    const stranger = await startPostgres({ name: 'stranger', ownIdentity: true });
    const pool = await servers.openPool({
      replicas: [
        { connectionString: stranger.url, name: 'stranger' },
        { connectionString: servers.prompt.url, name: 'prompt' },
      ],
      balancing: 'round-robin',
    });
    for (let read = 0; read < 10; read += 1)
      expect(await portOf(pool)).toBe(String(servers.prompt.port));
    expect(pool.health().nodes.find(({ name }) => name === 'stranger')).toMatchObject({
      fault: 'other-cluster',
    });
    await expect(
      pool.query({ text: 'SELECT 1', target: { node: 'stranger' } }),
    ).rejects.toMatchObject({ code: 'POOL_NO_REPLICA' });
    await stranger.stop();
  });

  test('an unreachable replica costs nothing but a note in the health', async () => {
    await using pool = new ReplicaPool({
      primary: { connectionString: servers.primary.url, name: 'primary' },
      replicas: [{ host: '127.0.0.1', port: 1, user: 'postgres', name: 'gone' }],
    });
    await pool.ready();
    expect((await pool.query(WHERE)).rows[0].standby).toBe(false);
    await until(() => pool.health().nodes[1]?.fault === 'unreachable');
    expect(pool.health().status).toBe('degraded');
  });
});
