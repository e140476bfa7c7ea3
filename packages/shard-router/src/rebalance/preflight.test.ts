import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Finding } from './finding.js';
import { type PreflightOptions, preflightMove } from './preflight.js';
import {
  contextOf,
  endpointOf,
  keysOf,
  MOVING,
  resetShards,
  startTestingShard,
  stopTestingShard,
  type TestingShard,
  tableOf,
} from './testing-shards.js';

const users = tableOf('users');
const bets = tableOf('bets', 'creator_id');

const codes = (findings: readonly Finding[], severity?: Finding['severity']) =>
  [
    ...new Set(
      findings
        .filter((finding) => severity === undefined || finding.severity === severity)
        .map(({ code, shard }) => `${code} ${shard}`),
    ),
  ].sort();

const peerOf = ({ server }: TestingShard) => {
  const { hostname, port, pathname } = new URL(server.url);
  return `host=${hostname} port=${port} dbname=${pathname.slice(1)}`;
};

describe.each([18, 15])('preflight on PostgreSQL %i', (version) => {
  let a: TestingShard;
  let b: TestingShard;
  beforeAll(async () => {
    const settings = { max_prepared_transactions: 4 };
    [a, b] = await Promise.all([
      startTestingShard('a', { version, settings }),
      startTestingShard('b', { version, settings }),
    ]);
  });
  afterAll(async () => {
    await Promise.all([stopTestingShard(a), stopTestingShard(b)]);
  });

  const look = (options: Partial<PreflightOptions> = {}, tables = [users]) =>
    preflightMove(contextOf(a, b, tables), { reverse: true, ...options });

  test('two healthy shards have no blockers, and nothing is left of the look', async () => {
    await resetShards({ a, b }, 'CREATE TABLE users (user_id bigint PRIMARY KEY, n int)', [users]);
    const findings = await look({ peers: { source: peerOf(a), destination: peerOf(b) } });
    expect(codes(findings, 'blocker')).toEqual([]);
    expect(codes(findings, 'note')).toContain('DISK_NEEDED b');
    for (const { pool } of [a, b]) {
      const { rows } = await pool.query(
        `SELECT (SELECT count(*)::int FROM pg_replication_slots) + (SELECT count(*)::int FROM pg_subscription) AS left`,
      );
      expect(rows[0].left).toBe(0);
    }
  });

  test('every fault of the tables is named at once', async () => {
    await resetShards(
      { a, b },
      `CREATE TABLE events (id bigint PRIMARY KEY);
       CREATE COLLATION IF NOT EXISTS pg_catalog.nobody (provider = icu, locale = 'und', deterministic = false);
       CREATE TABLE users (user_id bigint, n int, g int GENERATED ALWAYS AS (n * 2) STORED,
         event bigint REFERENCES events, picture oid, email text UNIQUE, UNIQUE (user_id));
       CREATE TABLE notes (id bigint REFERENCES users (user_id));
       CREATE UNLOGGED TABLE cold (user_id bigint PRIMARY KEY);
       ALTER TABLE users ENABLE ROW LEVEL SECURITY;
       CREATE TABLE bets (creator_id text COLLATE pg_catalog.nobody PRIMARY KEY);
       CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
       CREATE TRIGGER touch BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION touch();
       ALTER TABLE users ENABLE ALWAYS TRIGGER touch; SELECT lo_create(0)`,
      [users],
    );
    await b.pool.query('ALTER TABLE users ADD extra int; DROP TABLE events CASCADE');
    const findings = await look({}, [
      users,
      bets,
      tableOf('cold'),
      tableOf('gone'),
      tableOf('notes'),
    ]);
    expect(codes(findings, 'blocker')).toEqual([
      'FOREIGN_KEY_LEAVES a',
      'GUARD_MISSING a',
      'GUARD_MISSING b',
      'KEY_COLLATION a',
      'KEY_COLLATION b',
      'KEY_COLUMN_MISSING a',
      'KEY_COLUMN_MISSING b',
      'KEY_COLUMN_TYPE a',
      'KEY_COLUMN_TYPE b',
      'LARGE_OBJECTS a',
      'LARGE_OBJECTS b',
      'ROW_SECURITY a',
      'ROW_SECURITY b',
      'SCHEMA_DIFFERS b',
      'TABLE_MISSING a',
      'TABLE_MISSING b',
      'TABLE_UNLOGGED a',
      'TABLE_UNLOGGED b',
    ]);
    const warned = findings.filter(
      ({ code, shard }) => shard === 'a' && code !== 'SERVER_OUTDATED',
    );
    expect(codes(warned, 'warning')).toEqual([
      'FOREIGN_KEY_CROSSES a',
      'KEY_COLUMN_NULLABLE a',
      'PRIMARY_KEY_MISSING a',
      'REPLICA_IDENTITY a',
      'TRIGGER_FIRES_ON_REPLICA a',
      'UNIQUE_WITHOUT_KEY a',
    ]);
    expect(codes(findings, 'note')).toContain('GENERATED_COLUMN a');
    const entering = await look({ referenceTables: [{ schema: 'public', name: 'events' }] });
    expect(codes(entering, 'blocker')).toContain('FOREIGN_KEY_ENTERS a');
    expect(codes(entering, 'blocker')).not.toContain('FOREIGN_KEY_LEAVES a');
    await Promise.all(
      [a, b].map(({ pool }) =>
        pool.query(
          'SELECT lo_unlink(oid) FROM pg_largeobject_metadata; DROP TABLE bets; DROP COLLATION pg_catalog.nobody',
        ),
      ),
    );
  });

  test('the statements of findings mend what they are about', async () => {
    await resetShards(
      { a, b },
      `CREATE TABLE users (user_id bigint, n int);
       ALTER TABLE users ENABLE ROW LEVEL SECURITY`,
      [users],
    );
    for (const shard of [a, b]) await shard.pool.query('ALTER TABLE users SET UNLOGGED');
    for (const finding of await look()) {
      if (finding.sql === undefined || finding.subject !== 'public.users') continue;
      await (finding.shard === 'a' ? a : b).pool.query(finding.sql);
    }
    expect(codes(await look(), 'blocker')).toEqual([]);
  });

  test('prepared transactions and long ones are named with what ends them', async () => {
    await resetShards({ a, b }, 'CREATE TABLE users (user_id bigint PRIMARY KEY, n int)', [users]);
    await a.pool.query(`BEGIN; CREATE TABLE t (a int); PREPARE TRANSACTION 'forgotten'`);
    const blockers = (await look()).filter(({ severity }) => severity === 'blocker');
    expect(blockers).toMatchObject([
      { code: 'PREPARED_TRANSACTION', shard: 'a', subject: 'forgotten' },
    ]);
    await a.pool.query(`ROLLBACK PREPARED 'forgotten'`);
    expect(codes(await look(), 'blocker')).toEqual([]);
  });

  test('rows, ownership and transit that contradict the move are named', async () => {
    await resetShards({ a, b }, 'CREATE TABLE users (user_id bigint PRIMARY KEY, n int)', [users]);
    const [stray] = keysOf(MOVING, 1);
    await b.pool.query(
      `SET session_replication_role = replica; INSERT INTO users VALUES (${stray}, 1); RESET session_replication_role`,
    );
    await a.pool.query(
      `UPDATE shardline.slot_ownership SET is_owned = false WHERE slot = 1;
       UPDATE shardline.slot_ownership SET in_transit = true WHERE slot = 2`,
    );
    expect(codes(await look(), 'blocker')).toEqual([
      'FOREIGN_ROWS b',
      'SLOTS_IN_TRANSIT a',
      'SLOTS_NOT_OWNED a',
    ]);
    await b.pool.query('DROP SCHEMA shardline CASCADE');
    expect(codes(await look(), 'blocker')).toContain('SHARD_NOT_PREPARED b');
  });

  test('a role without rights is told which it lacks', async () => {
    await resetShards({ a, b }, 'CREATE TABLE users (user_id bigint PRIMARY KEY, n int)', [users]);
    await b.pool.query(
      `DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN; GRANT SELECT ON users TO weak`,
    );
    const weak = new pg.Pool({ connectionString: b.server.connectionString({ user: 'weak' }) });
    const findings = await preflightMove({
      ...contextOf(a, b, [users]),
      destination: endpointOf('b', weak),
    });
    await weak.end();
    expect(codes(findings, 'blocker')).toEqual([
      'ROLE_CREATE b',
      'ROLE_CREATE_ROLE b',
      'ROLE_REPLICATION b',
      'ROLE_SUBSCRIPTION b',
      'TABLE_OWNER b',
    ]);
    await b.pool.query('DROP OWNED BY weak; DROP ROLE weak');
  });

  test('a server that cannot be reached from the other one is named', async () => {
    await resetShards({ a, b }, 'CREATE TABLE users (user_id bigint PRIMARY KEY, n int)', [users]);
    const findings = await look({
      peers: { source: 'host=127.0.0.1 port=1 dbname=postgres', destination: peerOf(b) },
    });
    expect(codes(findings, 'blocker')).toEqual(['PEER_UNREACHABLE b']);
  });
});

test('servers without logical WAL and without free places are named with the setting', async () => {
  const [a, b] = await Promise.all([
    startTestingShard('poor', {
      settings: { wal_level: 'replica', max_replication_slots: 0, max_wal_senders: 0 },
    }),
    startTestingShard('tight', {
      settings: {
        max_logical_replication_workers: 1,
        max_worker_processes: 2,
        max_active_replication_origins: 1,
        max_slot_wal_keep_size: '64MB',
        idle_replication_slot_timeout: '1h',
      },
    }),
  ]);
  await resetShards({ a, b }, 'CREATE TABLE users (user_id bigint PRIMARY KEY, n int)', [users]);
  const context = contextOf(a, b, [users]);
  const findings = await preflightMove({
    ...context,
    source: { ...context.source, name: 'a' },
    destination: { ...context.destination, name: 'b' },
  });
  await Promise.all([stopTestingShard(a), stopTestingShard(b)]);
  expect(codes(findings, 'blocker')).toEqual([
    'REPLICATION_ORIGINS b',
    'REPLICATION_SLOTS a',
    'REPLICATION_WORKERS b',
    'WAL_LEVEL a',
    'WAL_SENDERS a',
    'WORKER_PROCESSES b',
  ]);
  expect(codes(findings, 'warning')).toEqual(
    expect.arrayContaining(['SLOT_EXPIRY b', 'SLOT_WAL_LIMIT b']),
  );
  expect(findings.find(({ code }) => code === 'WAL_LEVEL')).toMatchObject({
    message: "wal_level is 'replica'.",
    sql: `ALTER SYSTEM SET "wal_level" = 'logical'`,
  });
});
