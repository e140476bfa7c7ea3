import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PROVIDERS } from '../provider-names.js';
import { type Examination, examineServers } from './doctor.js';
import { judgeServer } from './inspect/judge-server.js';
import { providerProfile } from './inspect/providers.js';
import type { ServerFacts } from './inspect/server-facts.js';
import {
  keyspace,
  resetShards,
  startTestingShard,
  stopTestingShard,
  type TestingShard,
  tableOf,
} from './testing-shards.js';

const users = tableOf('users');

const poor: ServerFacts = {
  version: 180_006,
  isReplica: false,
  encoding: 'UTF8',
  settings: {
    wal_level: 'replica',
    max_replication_slots: '1',
    max_wal_senders: '10',
    max_logical_replication_workers: '4',
    max_worker_processes: '8',
    max_active_replication_origins: '10',
  },
  usedSlots: 1,
  usedSenders: 0,
  usedSubscriptionWorkers: 0,
  usedOrigins: 0,
  usedWorkers: 1,
  preparedTransactions: [],
  longTransactions: [],
  xidAge: 100,
  databaseBytes: 1,
  hasLargeObjects: false,
  heldSlots: [],
  role: {
    name: 'owner',
    isSuperuser: false,
    mayReplicate: false,
    mayCreateRoles: true,
    mayCreateInDatabase: true,
    memberOf: [],
  },
};
const needs = { outgoing: 1, incoming: 1 };
const cures = (provider: string, facts = poor) =>
  Object.fromEntries(
    judgeServer('a', facts, needs, providerProfile(provider)).map(({ code, remedy, sql }) => [
      code,
      sql ?? remedy,
    ]),
  );

describe('the ways of the providers', () => {
  test.each([
    ['self-hosted', `ALTER SYSTEM SET "wal_level" = 'logical'`],
    ['rds', 'rds.logical_replication = 1 in the DB parameter group'],
    ['aurora', 'rds.logical_replication = 1 in the DB cluster parameter group'],
    ['cloudsql', 'cloudsql.logical_decoding=on'],
    ['azure', '--name wal_level --value logical'],
    ['neon', 'Enable logical replication in the settings of the project'],
    ['supabase', 'supabase postgres-config update --config wal_level=logical'],
  ])('%s is told how to get logical WAL', (provider, cure) => {
    expect(cures(provider)['WAL_LEVEL']).toContain(cure);
  });

  test('every one is told about each right and place that is missing', () => {
    for (const provider of PROVIDERS) {
      expect(Object.keys(cures(provider)).sort(), provider).toEqual([
        'REPLICATION_SLOTS',
        'ROLE_REPLICATION',
        'ROLE_SUBSCRIPTION',
        'WAL_LEVEL',
      ]);
    }
    expect(cures('rds')['ROLE_REPLICATION']).toBe('GRANT "rds_replication" TO "owner"');
    expect(cures('azure')['ROLE_SUBSCRIPTION']).toBe('GRANT "azure_pg_admin" TO "owner"');
  });

  test('one that refuses subscriptions says from which version they work, and what works anyway', () => {
    const old = { ...poor, version: 150_019 };
    expect(cures('supabase', old)['SUBSCRIPTIONS_REFUSED']).toMatch(/PostgreSQL 17.*Routing/);
    expect(cures('self-hosted', old)['ROLE_SUBSCRIPTION']).toContain('only a superuser');
  });

  test.each([
    ['neon', 'ep-cool-1234-pooler.eu.aws.neon.tech', 5432],
    ['supabase', 'aws-0-eu.pooler.supabase.com', 5432],
    ['azure', 'db.postgres.database.azure.com', 6432],
    ['rds', 'bets.proxy-abc123.eu-west-1.rds.amazonaws.com', 5432],
    ['aurora', 'bets.cluster-ro-abc123.eu-west-1.rds.amazonaws.com', 5432],
    ['cloudsql', '/cloudsql/project:region:instance', 5432],
  ])('%s: the address %s:%i is refused, and a direct one is not', (provider, host, port) => {
    expect(providerProfile(provider)?.addressFault(host, port)).toBeDefined();
    expect(providerProfile(provider)?.addressFault('db.internal', 5432)).toBeUndefined();
  });
});

describe('examining servers', () => {
  let a: TestingShard;
  let b: TestingShard;
  beforeAll(async () => {
    [a, b] = await Promise.all([startTestingShard('a'), startTestingShard('b', { version: 15 })]);
  });
  afterAll(async () => {
    await Promise.all([stopTestingShard(a), stopTestingShard(b)]);
  });

  const examine = (more: Partial<Examination> = {}) =>
    examineServers({
      catalog: { endpoint: { ...a.endpoint, name: 'catalog' } },
      shards: [{ endpoint: a.endpoint }, { endpoint: b.endpoint }],
      keyspaces: [{ keyspace, tables: [users] }],
      ...more,
    });

  test('healthy shards have no blockers', async () => {
    await resetShards({ a, b }, 'CREATE TABLE users (user_id bigint PRIMARY KEY, n int)', [users]);
    const findings = await examine();
    expect(findings.filter(({ severity }) => severity === 'blocker')).toEqual([]);
    expect(findings).toContainEqual(
      expect.objectContaining({ code: 'NO_ORIGIN_FILTER', shard: 'b' }),
    );
  });

  test('shards that differ, one that is down and a pooler are found side by side', async () => {
    await resetShards({ a, b }, 'CREATE TABLE users (user_id bigint PRIMARY KEY, n int)', [users]);
    await b.pool.query('ALTER TABLE users ALTER n TYPE bigint');
    const down = {
      ...b.endpoint,
      name: 'c',
      primary: { query: () => Promise.reject(new Error('connect ECONNREFUSED')) },
    };
    const findings = await examine({
      provider: 'neon',
      shards: [
        { endpoint: a.endpoint, address: { host: 'ep-x-pooler.neon.tech', port: 5432 } },
        { endpoint: b.endpoint },
        { endpoint: down },
      ],
    });
    const blockers = findings.filter(({ severity }) => severity === 'blocker');
    expect(blockers.map(({ code, shard }) => `${code} ${shard}`)).toEqual([
      'ADDRESS a',
      'SCHEMA_DIFFERS a, b',
      'UNREACHABLE c',
    ]);
    expect(findings).toContainEqual(expect.objectContaining({ code: 'PROVIDER_SLOT_EXPIRY' }));
  });

  test('a missing guard is a blocker on a shard of the topology, and none on one that is to join', async () => {
    await resetShards({ a, b }, 'CREATE TABLE users (user_id bigint PRIMARY KEY, n int)', [users]);
    for (const { pool } of [a, b]) {
      const { rows } = await pool.query<{ name: string }>(
        "SELECT tgname AS name FROM pg_trigger WHERE tgrelid = 'users'::regclass AND NOT tgisinternal",
      );
      for (const { name } of rows) await pool.query(`DROP TRIGGER "${name}" ON users`);
    }
    const findings = await examine({
      shards: [{ endpoint: a.endpoint }, { endpoint: b.endpoint, isOnMap: false }],
    });
    const guards = findings.filter(({ code }) => code === 'GUARD_MISSING');
    expect(guards.map(({ shard, severity }) => `${shard} ${severity}`).sort()).toEqual([
      'a blocker',
      'b note',
    ]);
  });

  test('a provider that nobody knows is refused', async () => {
    await expect(examine({ provider: 'cloud9' })).rejects.toMatchObject({
      code: 'PROVIDER_UNKNOWN',
    });
  });
});
