import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PostgresServer } from '../postgres/postgres-server.js';
import { startPostgres } from '../postgres/start-postgres.js';
import { waitUntil } from '../server/wait-until.js';
import { startPgBouncer } from './pgbouncer-server.js';

async function connectTo(connectionString: string): Promise<Client> {
  const client = new Client({ connectionString });
  client.on('error', () => {}); // Tests below end the server on purpose.
  await client.connect();
  return client;
}

async function backendPid(client: Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return rows[0]?.pid ?? 0;
}

describe('PgBouncer in transaction mode', () => {
  let first: PostgresServer;
  let second: PostgresServer;

  beforeAll(async () => {
    [first, second] = await Promise.all([
      startPostgres({ name: 'first', database: 'users' }),
      startPostgres({ name: 'second', authentication: 'scram-sha-256' }),
    ]);
  });
  afterAll(async () => {
    await Promise.all([first?.stop(), second?.stop()]);
  });

  test('passes queries on, and lends one connection to several clients in turn', async () => {
    await using pooler = await startPgBouncer({
      target: first,
      settings: { default_pool_size: 1 },
    });
    const one = await connectTo(pooler.url);
    const two = await connectTo(pooler.url);
    const { rows } = await one.query('SELECT current_database() AS name');
    expect(rows).toEqual([{ name: 'users' }]);
    expect(await backendPid(one)).toBe(await backendPid(two));
    // Within a transaction the connection is not lent to anyone else.
    await one.query('BEGIN');
    let hasAnswer = false;
    const waiting = backendPid(two).then(() => {
      hasAnswer = true;
    });
    await one.query('SELECT pg_sleep(0.2)');
    expect(hasAnswer).toBe(false);
    await one.query('COMMIT');
    await waiting;
    await Promise.all([one.end(), two.end()]);
  });

  test('stands before several servers by database name, with their users', async () => {
    await second.query("CREATE ROLE mover LOGIN PASSWORD 'it''s \"odd\"'");
    await using pooler = await startPgBouncer({
      name: 'many',
      target: { 'shard-0': first, 'shard-1': second },
      users: { mover: 'it\'s "odd"' },
    });
    const client = await connectTo(pooler.urlOf('shard-1', 'mover'));
    const { rows } = await client.query(
      "SELECT current_user AS me, current_setting('port')::int AS port",
    );
    expect(rows).toEqual([{ me: 'mover', port: second.port }]);
    await client.end();
  });

  test('serves again after a kill, a freeze, and a restart of the server behind it', async () => {
    await using pooler = await startPgBouncer({ target: first });
    await pooler.kill();
    await expect(connectTo(pooler.url)).rejects.toThrow();
    await pooler.restart();
    const client = await connectTo(pooler.url);
    await pooler.freeze();
    const answer = backendPid(client);
    await pooler.thaw();
    expect(await answer).toBeGreaterThan(0);
    await client.end();
    await first.kill();
    await first.restart();
    const pid = await waitUntil(
      async () => {
        const again = await connectTo(pooler.url);
        return backendPid(again).finally(() => again.end());
      },
      { what: 'the pooler to reach its server again' },
    );
    expect(pid).toBeGreaterThan(0);
    expect(await pooler.logs()).toContain('listening on 127.0.0.1');
  });
});
