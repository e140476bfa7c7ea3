import { connect } from 'node:net';
import { isShardlineError } from '@shardline/core';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isPortFree } from '../server/port-probe.js';
import { waitUntil } from '../server/wait-until.js';
import type { PostgresServer } from './postgres-server.js';
import { startPostgres } from './start-postgres.js';

/** Real servers; natively and, with SHARDLINE_BACKEND=containers, in containers. */

async function countBets(server: PostgresServer): Promise<number> {
  const { rows } = await server.query<{ n: number }>('SELECT count(*)::int AS n FROM bet');
  return rows[0]?.n ?? -1;
}

describe('a PostgreSQL primary', () => {
  let primary: PostgresServer;

  beforeAll(async () => {
    primary = await startPostgres({ name: 'bets', database: 'betting' });
    await primary.query('CREATE TABLE bet (id bigint PRIMARY KEY)');
  });
  afterAll(() => primary?.stop());

  test('answers at its URL, in the database that was asked for', async () => {
    const client = new Client({ connectionString: primary.url });
    await client.connect();
    const { rows } = await client.query('SELECT current_database() AS name');
    await client.end();
    expect(rows).toEqual([{ name: 'betting' }]);
    expect(new URL(primary.url).port).toBe(String(primary.port));
  });

  test('is ready for logical replication and listens on loopback only', async () => {
    const { rows } = await primary.query(
      `SELECT current_setting('wal_level') AS wal, current_setting('listen_addresses') AS hosts,
              current_setting('max_replication_slots')::int > 20 AS has_slots,
              current_setting('fsync') AS fsync`,
    );
    expect(rows).toEqual([{ wal: 'logical', hosts: '127.0.0.1', has_slots: true, fsync: 'off' }]);
  });

  test('loses nothing that was committed when it is killed', async () => {
    await primary.query('INSERT INTO bet SELECT generate_series(1, 1000)');
    await primary.kill();
    expect(primary.state).toBe('down');
    expect(await isPortFree(primary.port)).toBe(true);
    await expect(primary.query('SELECT 1')).rejects.toThrow();
    await primary.restart();
    expect(primary.state).toBe('running');
    expect(await countBets(primary)).toBe(1000);
    expect(await primary.logs()).toContain('automatic recovery');
  });

  test('does not answer while frozen, keeps its connections, and goes on after thawing', async () => {
    const client = new Client({ connectionString: primary.url });
    await client.connect();
    await primary.freeze();
    expect(primary.state).toBe('frozen');
    let answered = false;
    const answer = client.query('SELECT 42 AS n').then((result) => {
      answered = true;
      return result;
    });
    // The kernel still accepts connections for it: only the server is silent.
    await new Promise<void>((resolve, reject) => {
      const socket = connect(primary.port, primary.host, () =>
        resolve(socket.destroy() && undefined),
      );
      socket.once('error', reject);
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(answered).toBe(false);
    await primary.thaw();
    expect((await answer).rows).toEqual([{ n: 42 }]);
    expect(primary.state).toBe('running');
    await client.end();
  });

  test('shuts down in order and comes back with its data', async () => {
    await primary.shutdown();
    expect(primary.state).toBe('down');
    expect(await primary.logs(3)).toContain('database system is shut down');
    await primary.restart();
    expect(await countBets(primary)).toBe(1000);
  });

  test('can be killed and restarted while frozen', async () => {
    await primary.freeze();
    await primary.kill();
    expect(primary.state).toBe('down');
    await primary.restart();
    await primary.freeze();
    await primary.restart();
    expect(await countBets(primary)).toBe(1000);
  });

  test('says so when it is asked for what its state does not allow', async () => {
    await primary.kill();
    await expect(primary.freeze()).rejects.toSatisfy((error) =>
      isShardlineError(error, 'TESTKIT_SERVER_STATE'),
    );
    await primary.kill();
    await primary.restart();
    await expect(primary.promote()).rejects.toThrow('no replica');
  });

  test('makes further databases', async () => {
    const url = await primary.createDatabase('odd "name"');
    const client = new Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query('SELECT current_database() AS name');
    await client.end();
    expect(rows).toEqual([{ name: 'odd "name"' }]);
  });
});

describe('replicas', () => {
  let primary: PostgresServer;

  beforeAll(async () => {
    primary = await startPostgres({ name: 'origin', settings: { max_connections: 60 } });
    await primary.query('CREATE TABLE bet (id bigint PRIMARY KEY)');
    await primary.query('INSERT INTO bet SELECT generate_series(1, 5000)');
  });
  afterAll(async () => {
    await Promise.all(primary?.replicas.map((replica) => replica.stop()) ?? []);
    await primary?.stop();
  });

  test('a replica replays what its primary commits, and refuses writes', async () => {
    await using replica = await primary.addReplica();
    expect(await replica.isInRecovery()).toBe(true);
    expect(await countBets(replica)).toBe(5000);
    await primary.query('INSERT INTO bet SELECT generate_series(5001, 6000)');
    await primary.waitForReplica(replica);
    expect(await countBets(replica)).toBe(6000);
    await expect(replica.query('DELETE FROM bet')).rejects.toMatchObject({ code: '25006' });
    await primary.query('DELETE FROM bet WHERE id > 5000');
  });

  test('a replica can be seeded while the primary is being written to', async () => {
    let isWriting = true;
    let next = 100_000;
    const writer = primary.withClient(async (client) => {
      while (isWriting) {
        await client.query('INSERT INTO bet VALUES ($1)', [next]);
        next += 1;
      }
    });
    const replica = await primary.addReplica({ name: 'seeded-live' });
    isWriting = false;
    await writer;
    await primary.waitForReplica(replica);
    expect(await countBets(replica)).toBe(await countBets(primary));
    await replica.stop();
    await primary.query('DELETE FROM bet WHERE id >= 100000');
  });

  test('a replica with an apply delay shows a commit only after the delay', async () => {
    await using replica = await primary.addReplica({ name: 'late', applyDelay: '2s' });
    const committedAt = performance.now();
    await primary.query('INSERT INTO bet VALUES (7001)');
    await waitUntil(async () => (await countBets(replica)) === 5001, { what: 'the late row' });
    // The server's clock and ours differ in when the commit counts: a margin of a tenth.
    expect(performance.now() - committedAt).toBeGreaterThan(1800);
    await primary.query('DELETE FROM bet WHERE id = 7001');
  });

  test('a commit waits for a synchronous replica that does not answer', async () => {
    const replica = await primary.addReplica({ name: 'in-step', synchronous: true });
    await primary.query('INSERT INTO bet VALUES (8001)');
    await replica.freeze();
    let isCommitted = false;
    const commit = primary.query('INSERT INTO bet VALUES (8002)').then(() => {
      isCommitted = true;
    });
    await waitUntil(
      async () => {
        const { rowCount } = await primary.query(
          "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
        );
        return rowCount === 1;
      },
      { what: 'the commit to wait' },
    );
    expect(isCommitted).toBe(false);
    await replica.thaw();
    await commit;
    await replica.stop();
    // Nobody waits for a replica that was stopped for good, and its slot is gone.
    await primary.query('DELETE FROM bet WHERE id > 8000');
    const { rows } = await primary.query('SELECT slot_name FROM pg_replication_slots');
    expect(rows).toEqual([]);
  });

  test('a replica that was killed catches up after its restart', async () => {
    await using replica = await primary.addReplica({ name: 'fallen' });
    await replica.kill();
    await primary.query('INSERT INTO bet VALUES (9001)');
    await replica.restart();
    await primary.waitForReplica(replica);
    expect(await countBets(replica)).toBe(5001);
    await primary.query('DELETE FROM bet WHERE id = 9001');
  });

  test('waiting for a frozen replica ends with an error that names it', async () => {
    await using replica = await primary.addReplica({
      name: 'silent',
      settings: { wal_receiver_timeout: '1s' },
    });
    await replica.query('SELECT pg_wal_replay_pause()');
    await primary.query('INSERT INTO bet VALUES (9101)');
    await expect(primary.waitForReplica(replica, { within: '300ms' })).rejects.toSatisfy(
      (error) =>
        isShardlineError(error, 'TESTKIT_WAIT_EXPIRED') && error.message.includes('silent'),
    );
    await primary.query('DELETE FROM bet WHERE id = 9101');
  });
});

describe('promotion', () => {
  test('a promoted replica writes on the next timeline, and others follow it', async () => {
    await using primary = await startPostgres({ name: 'elder' });
    await primary.query('CREATE TABLE bet (id bigint PRIMARY KEY)');
    const [heir, sibling] = await Promise.all([primary.addReplica(), primary.addReplica()]);
    await using _heir = heir;
    await using _sibling = sibling;
    await primary.query('INSERT INTO bet VALUES (1)');
    await Promise.all([primary.waitForReplica(heir), primary.waitForReplica(sibling)]);
    expect(await heir.timeline()).toBe(1);
    await primary.kill();
    await heir.promote();
    expect(await heir.isInRecovery()).toBe(false);
    expect(await heir.timeline()).toBe(2);
    await heir.query('INSERT INTO bet VALUES (2)');
    await sibling.follow(heir);
    await heir.waitForReplica(sibling);
    expect(await countBets(sibling)).toBe(2);
    expect(await sibling.timeline()).toBe(2);
    expect(heir.replicas).toEqual([sibling]);
    await using grandchild = await heir.addReplica();
    await heir.waitForReplica(grandchild);
    expect(await countBets(grandchild)).toBe(2);
  });
});

describe('options', () => {
  test('all faults are named at once, with the nearest right name', async () => {
    const wrong = { nmae: 'x', version: 3, settings: { 'a b': 1 } } as object;
    await expect(startPostgres(wrong)).rejects.toSatisfy(
      (error) =>
        isShardlineError(error, 'CONFIG_INVALID') &&
        error.message.includes("did you mean 'name'") &&
        error.message.includes('version') &&
        error.message.includes('settings'),
    );
  });

  test('with scram a user needs the password that it was given', async () => {
    await using postgres = await startPostgres({ authentication: 'scram-sha-256' });
    await postgres.query("CREATE ROLE mover LOGIN PASSWORD 'right'");
    const user = (password: string) => ({ user: 'mover', password });
    const { rows } = await postgres.query('SELECT current_user AS me', [], user('right'));
    expect(rows).toEqual([{ me: 'mover' }]);
    await expect(postgres.query('SELECT 1', [], user('wrong'))).rejects.toMatchObject({
      code: '28P01',
    });
  });

  test('a setting that the server refuses ends the start with the reason and leaves nothing', async () => {
    await expect(
      startPostgres({ name: 'refused', settings: { shared_buffers: 'plenty' } }),
    ).rejects.toSatisfy(
      (error) =>
        isShardlineError(error, 'TESTKIT_NOT_READY') &&
        error.message.includes('refused') &&
        error.message.includes('invalid value for parameter "shared_buffers"'),
    );
  });
});
