import { systemClock } from '@shardline/core';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { probeSql, probeValues, readProbe } from '../topology/probe.js';
import { proveSnapshot, type SnapshotSources } from './snapshot-proof.js';

/**
 * A replica ahead of its primary: commits wait for a synchronous standby that does not exist, so that
 * the asynchronous replica shows a row which the primary does not show yet.
 */
describe('a replica that is ahead of its primary', () => {
  let primary: PostgresServer;
  let replica: PostgresServer;
  let writer: Client;

  const sources: SnapshotSources = {
    clock: systemClock,
    query: async (node, text, values) => {
      const server = node === 'primary' ? primary : replica;
      return (await server.query(text, [...values])).rows;
    },
  };

  async function value(server: PostgresServer): Promise<number> {
    return (await server.query<{ v: number }>('SELECT v FROM counter')).rows[0]?.v ?? -1;
  }

  async function xmaxOf(server: PostgresServer): Promise<bigint> {
    return readProbe((await server.query(probeSql, probeValues(undefined))).rows[0] as never)
      .snapshotXmax;
  }

  async function setSynchronous(names: string): Promise<void> {
    await primary.query(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
    await primary.query('SELECT pg_reload_conf()');
    await vi.waitFor(async () => {
      const { rows } = await primary.query('SHOW synchronous_standby_names');
      expect(rows[0]?.['synchronous_standby_names']).toBe(names);
    });
  }

  beforeAll(async () => {
    primary = await startPostgres({ name: 'ahead' });
    await primary.query('CREATE TABLE counter AS SELECT 0 AS v');
    replica = await primary.addReplica();
    await primary.waitForReplica(replica);
    writer = new Client({ connectionString: primary.url });
    await writer.connect();
  });
  afterAll(async () => {
    await setSynchronous('').catch(() => undefined);
    await writer?.end();
    await replica?.stop();
    await primary?.stop();
  });

  test('is noticed by snapshots where positions say nothing, until the primary shows it too', async () => {
    await setSynchronous('nobody');
    let isAcknowledged = false;
    const update = writer.query('UPDATE counter SET v = v + 1').then(() => {
      isAcknowledged = true;
    });
    await vi.waitFor(async () => expect(await value(replica)).toBe(1), { timeout: 20_000 });
    expect(await value(primary)).toBe(0);
    expect(isAcknowledged).toBe(false);

    // By position the primary is as far as the replica: nothing would stop the session from going back.
    const held = readProbe(
      (await primary.query(probeSql, probeValues(undefined))).rows[0] as never,
    );
    const shown = readProbe(
      (await replica.query(probeSql, probeValues(undefined))).rows[0] as never,
    );
    expect(held.lsn >= shown.lsn).toBe(true);

    const snapshotXmax = await xmaxOf(replica);
    const question = { primary: 'primary', replicas: ['replica'], snapshotXmax };
    expect(await proveSnapshot(sources, { ...question, timeoutMs: 300 })).toBe(false);
    expect(await proveSnapshot(sources, { ...question, replicas: [], timeoutMs: 300 })).toBe(false);

    const proven = proveSnapshot(sources, { ...question, timeoutMs: 30_000 });
    await setSynchronous('');
    expect(await proven).toBe(true);
    expect(await value(primary)).toBe(1);
    await update;
  });

  test('is not suspected because of a long transaction that nobody has seen', async () => {
    const long = new Client({ connectionString: primary.url });
    await long.connect();
    try {
      await long.query('BEGIN');
      await long.query('CREATE TABLE unfinished (n int)');
      await primary.query('UPDATE counter SET v = v + 1');
      await primary.waitForReplica(replica);
      const snapshotXmax = await xmaxOf(replica);
      const question = { primary: 'primary', snapshotXmax, timeoutMs: 5000 };
      expect(await proveSnapshot(sources, { ...question, replicas: ['replica'] })).toBe(true);
      expect(await proveSnapshot(sources, { ...question, replicas: [], timeoutMs: 100 })).toBe(
        false,
      );
    } finally {
      await long.query('ROLLBACK');
      await long.end();
    }
  });
});
