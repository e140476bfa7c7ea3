import { type PostgresServer, startPostgres } from '@shardline/testkit';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Keyspace, type ShardedTable } from '../keyspace.js';
import {
  guardTable,
  migrateShard,
  misplacedWrite,
  readOwnership,
  uninstallShard,
  writeOwnership,
} from './ownership.js';
import type { Topology } from './topology.js';
import { topologyOf } from './topology-file.js';

/** The guard against everybody who writes to a shard, on the newest and the oldest server. */
const users: ShardedTable = { schema: 'public', name: 'users', key: 'id' };
const keyspace = new Keyspace({ name: 'k', keyType: 'bigint', hash: 'postgres', slots: 16 });
const base = topologyOf({
  shards: { a: {}, b: {} },
  keyspaces: { k: { keyType: 'bigint', slots: 16, owners: { a: '0-7', b: '8-15' } } },
});
const keysOf = (shard: string, topology = base) =>
  Array.from({ length: 200 }, (_, key) => key).filter(
    (key) => topology.keyspace('k').ownerOf(keyspace.slotOf(key)) === shard,
  );
const [mine, alsoMine] = keysOf('a') as [number, number];
const foreign = keysOf('b')[0] as number;

describe.each([18, 15])('the guard on PostgreSQL %i', (version) => {
  let server: PostgresServer;
  let client: pg.Client;
  beforeAll(async () => {
    server = await startPostgres({ name: `guard-${version}`, version });
    client = new pg.Client({ connectionString: server.url });
    await client.connect();
  });
  afterAll(async () => {
    await client?.end();
    await server?.stop();
  });

  const change = async (topology: Topology) => {
    await client.query('BEGIN');
    await writeOwnership(client, 'a', topology, 'k');
    await client.query('COMMIT');
  };

  beforeEach(async () => {
    await client.query('DROP SCHEMA IF EXISTS shardline CASCADE');
    await client.query('DROP TABLE IF EXISTS users CASCADE');
    await client.query('CREATE TABLE users (id bigint PRIMARY KEY, name text, n int DEFAULT 0)');
    await migrateShard(client);
    await guardTable(client, keyspace, users);
    await change(base);
    await client.query('INSERT INTO users VALUES ($1)', [mine]);
  });

  test('INSERT of a foreign key is refused with epoch and owner', async () => {
    const error = await client
      .query('INSERT INTO users VALUES ($1)', [foreign])
      .catch((reason) => reason);
    expect(error.code).toBe('SL001');
    expect(misplacedWrite(error)).toEqual({
      keyspace: 'k',
      slot: keyspace.slotOf(foreign),
      owner: 'b',
      epoch: 1,
    });
  });

  test('UPDATE is judged by the old key and by the new one', async () => {
    await client.query('UPDATE users SET id = $2 WHERE id = $1', [mine, alsoMine]);
    await expect(
      client.query('UPDATE users SET id = $2 WHERE id = $1', [alsoMine, foreign]),
    ).rejects.toMatchObject({ code: 'SL001' });
    await plantForeignRow();
    await expect(
      client.query('UPDATE users SET id = $2 WHERE id = $1', [foreign, mine]),
    ).rejects.toMatchObject({ code: 'SL001' });
    await expect(
      client.query('UPDATE users SET n = 1 WHERE id = $1', [foreign]),
    ).rejects.toMatchObject({ code: 'SL001' });
  });

  test('DELETE, COPY, upserts, MERGE-like statements and data-modifying WITH are refused alike', async () => {
    await plantForeignRow();
    const refused = [
      `DELETE FROM users WHERE id = ${foreign}`,
      `INSERT INTO users SELECT ${foreign} + 0 ON CONFLICT (id) DO UPDATE SET n = 2`,
      `MERGE INTO users USING (VALUES (${foreign})) AS v(id) ON users.id = v.id WHEN MATCHED THEN DELETE`,
      `WITH gone AS (DELETE FROM users RETURNING id) SELECT count(*) FROM gone`,
      `COPY users (id) FROM PROGRAM 'echo ${keysOf('b')[1]}'`,
    ];
    for (const sql of refused) {
      await expect(client.query(sql), sql).rejects.toMatchObject({ code: 'SL001' });
    }
  });

  test('a trigger of the application cannot slip a row past the guard', async () => {
    await client.query(
      `CREATE FUNCTION redirect() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN NEW.id := ${foreign}; RETURN NEW; END $$;
       CREATE TRIGGER "zzz" BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION redirect()`,
    );
    await expect(client.query('INSERT INTO users VALUES ($1)', [alsoMine])).rejects.toMatchObject({
      code: 'SL001',
    });
    await client.query('DROP TABLE users; DROP FUNCTION redirect');
  });

  test('a null key is refused', async () => {
    await client.query('ALTER TABLE users DROP CONSTRAINT users_pkey');
    await client.query('ALTER TABLE users ALTER id DROP NOT NULL');
    await expect(client.query('INSERT INTO users (name) VALUES (1)')).rejects.toMatchObject({
      code: '23502',
    });
  });

  test('TRUNCATE is allowed at rest and refused while a slot is in transit', async () => {
    const copying = base.with({ keyspace: 'k', enterTransit: [{ shard: 'a', slots: [0] }] });
    await change(copying);
    await expect(client.query('TRUNCATE users')).rejects.toMatchObject({ code: 'SL001' });
    await change(copying.with({ keyspace: 'k', leaveTransit: [{ shard: 'a', slots: [0] }] }));
    await client.query('TRUNCATE users');
  });

  test('a key cannot change between a slot that is being moved and one that is not', async () => {
    const slot = keyspace.slotOf(mine);
    const [other] = keysOf('a').filter((key) => keyspace.slotOf(key) !== slot) as [number];
    const copying = base.with({ keyspace: 'k', enterTransit: [{ shard: 'a', slots: [slot] }] });
    await change(copying);
    const update = () => client.query('UPDATE users SET id = $2 WHERE id = $1', [mine, other]);
    await expect(update()).rejects.toMatchObject({ code: 'SL002' });
    await change(copying.with({ keyspace: 'k', leaveTransit: [{ shard: 'a', slots: [slot] }] }));
    await update();
  });

  test('partitions and rows that wander between them are guarded', async () => {
    await client.query(
      `CREATE TABLE bets (id bigint, at int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
       CREATE TABLE bets_1 PARTITION OF bets FOR VALUES FROM (0) TO (10);
       CREATE TABLE bets_2 PARTITION OF bets FOR VALUES FROM (10) TO (20)`,
    );
    await guardTable(client, keyspace, { schema: 'public', name: 'bets', key: 'id' });
    await client.query('INSERT INTO bets VALUES ($1, 1)', [mine]);
    await client.query('UPDATE bets SET at = 11 WHERE id = $1', [mine]);
    for (const table of ['bets', 'bets_2']) {
      await expect(
        client.query(`INSERT INTO ${table} VALUES ($1, 12)`, [foreign]),
      ).rejects.toMatchObject({ code: 'SL001' });
    }
    await client.query('DROP TABLE bets');
  });

  test('a role that may only write its table is guarded too, at every isolation level', async () => {
    await client.query(
      `DO $$ BEGIN IF to_regrole('app') IS NULL THEN CREATE ROLE app; END IF; END $$;
       GRANT SELECT, INSERT, UPDATE, DELETE ON users TO app`,
    );
    for (const level of ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE']) {
      await client.query(`BEGIN ISOLATION LEVEL ${level}; SET LOCAL ROLE app`);
      await client.query('UPDATE users SET n = n + 1 WHERE id = $1', [mine]);
      await expect(client.query('INSERT INTO users VALUES ($1)', [foreign])).rejects.toMatchObject({
        code: 'SL001',
      });
      await client.query('ROLLBACK');
    }
  });

  test('a search_path full of impostors does not open the guard', async () => {
    await client.query(
      `CREATE SCHEMA evil;
       CREATE FUNCTION evil.never(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
       CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.never);
       CREATE FUNCTION evil.always(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
       CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.always);
       SET search_path = evil, pg_catalog, public`,
    );
    await expect(
      client.query('INSERT INTO public.users VALUES ($1)', [foreign]),
    ).rejects.toMatchObject({ code: 'SL001' });
    await client.query('RESET search_path; DROP SCHEMA evil CASCADE');
  });

  test('a switch waits for writers under way and stops whoever comes after', async () => {
    const slot = keyspace.slotOf(mine);
    const moved = base.with({ keyspace: 'k', owners: [{ shard: 'b', slots: [slot] }] });
    await server.withClient(async (writer) => {
      await writer.query('BEGIN');
      await writer.query('UPDATE users SET n = 7 WHERE id = $1', [mine]);
      // Writers under way are not cut off: the change gives up after its lock timeout instead.
      await client.query('BEGIN');
      await expect(writeOwnership(client, 'a', moved, 'k', 100)).rejects.toMatchObject({
        code: '55P03',
      });
      await client.query('ROLLBACK');
      await writer.query('COMMIT');
    });
    await change(moved);
    await expect(
      client.query('UPDATE users SET n = 8 WHERE id = $1', [mine]),
    ).rejects.toMatchObject({ code: 'SL001' });
    const { rows } = await client.query('SELECT n FROM users WHERE id = $1', [mine]);
    expect(rows).toEqual([{ n: 7 }]);
  });

  test.each(['REPEATABLE READ', 'SERIALIZABLE'])(
    'a %s transaction whose snapshot is older than the switch cannot write',
    async (level) => {
      const moved = base.with({
        keyspace: 'k',
        owners: [{ shard: 'b', slots: [keyspace.slotOf(mine)] }],
      });
      await server.withClient(async (old) => {
        await old.query(`BEGIN ISOLATION LEVEL ${level}`);
        await old.query('SELECT count(*) FROM users');
        await change(moved);
        await expect(
          old.query('INSERT INTO users (id) VALUES ($1) ON CONFLICT DO NOTHING', [mine]),
        ).rejects.toMatchObject({ code: '40001' });
        await old.query('ROLLBACK');
      });
    },
  );

  test('the record never goes back to an older epoch and belongs to one shard', async () => {
    const moved = base.with({ keyspace: 'k', owners: [{ shard: 'b', slots: [0] }] });
    await change(moved);
    await client.query('BEGIN');
    expect(await writeOwnership(client, 'a', base, 'k')).toBe(false);
    await expect(writeOwnership(client, 'b', moved, 'k')).rejects.toMatchObject({
      code: 'SHARD_MISMATCH',
      details: { expected: 'b', found: 'a' },
    });
    await client.query('ROLLBACK');
    expect(await readOwnership(client)).toEqual([
      { keyspace: 'k', shard: 'a', slots: 16, epoch: 2, ownedSlots: 7 },
    ]);
  });

  test('uninstalling leaves the tables and nothing else', async () => {
    await uninstallShard(client);
    await client.query('INSERT INTO users VALUES ($1)', [foreign]);
    const { rows } = await client.query(
      `SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal)::int AS triggers,
              (SELECT count(*) FROM pg_namespace WHERE nspname = 'shardline')::int AS schemas`,
    );
    expect(rows).toEqual([{ triggers: 0, schemas: 0 }]);
  });

  async function plantForeignRow(): Promise<void> {
    await client.query('SET session_replication_role = replica');
    await client.query('INSERT INTO users VALUES ($1) ON CONFLICT DO NOTHING', [foreign]);
    await client.query('RESET session_replication_role');
  }
});
