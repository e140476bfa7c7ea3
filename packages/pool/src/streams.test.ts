import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ReplicaPool } from './index.js';
import type { ReplicaPoolOptions } from './options.js';

/** Cursors, streams and COPY talk to the connection by themselves; over one server and over several. */
let primary: PostgresServer;
let replica: PostgresServer;

beforeAll(async () => {
  primary = await startPostgres({ name: 'streams' });
  replica = await primary.addReplica();
  await primary.query('CREATE TABLE bet (id int PRIMARY KEY, stake int)');
});
beforeEach(async () => {
  await primary.query('TRUNCATE bet');
  await primary.query('INSERT INTO bet SELECT i, i * 10 FROM generate_series(1, 500) i');
  await primary.waitForReplica(replica);
});
afterAll(async () => {
  await replica?.stop();
  await primary?.stop();
});

const shapes: [string, () => ReplicaPoolOptions][] = [
  ['one server', () => ({ connectionString: primary.url })],
  ['a primary and a replica', () => ({ primary: primary.url, replicas: [replica.url] })],
];

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('The condition was not met in time.');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe.each(shapes)('over %s', (_, options) => {
  test('a cursor reads in portions', async () => {
    await using pool = new ReplicaPool(options());
    await pool.ready();
    const client = await pool.connect();
    const cursor = client.query(new Cursor('SELECT id FROM bet ORDER BY id'));
    expect((await cursor.read(200)).length).toBe(200);
    expect((await cursor.read(400)).length).toBe(300);
    await cursor.close();
    client.release();
    await until(() => pool.idleCount === pool.totalCount);
  });

  test('a stream of rows, from a client and from the pool', async () => {
    await using pool = new ReplicaPool(options());
    await pool.ready();
    const client = await pool.connect();
    let sum = 0;
    for await (const row of client.query(new QueryStream('SELECT id FROM bet'))) sum += row.id;
    client.release();
    expect(sum).toBe((500 * 501) / 2);

    let count = 0;
    for await (const _row of pool.query(new QueryStream('SELECT id FROM bet'))) count += 1;
    expect(count).toBe(500);
    await until(() => pool.idleCount === pool.totalCount);
  });

  test('COPY out and in', async () => {
    await using pool = new ReplicaPool(options());
    await pool.ready();
    const client = await pool.connect();
    let lines = 0;
    for await (const chunk of client.query(copyTo('COPY bet TO STDOUT'))) {
      lines += String(chunk).split('\n').length - 1;
    }
    expect(lines).toBe(500);
    await pipeline(
      Readable.from(['1001\t7\n', '1002\t8\n']),
      client.query(copyFrom('COPY bet FROM STDIN')),
    );
    client.release();
    const { rows } = await primary.query('SELECT count(*)::int AS n FROM bet WHERE id > 1000');
    expect(rows).toEqual([{ n: 2 }]);
  });

  test('a cursor that was not closed does not block whoever comes next', async () => {
    await using pool = new ReplicaPool({ ...options(), max: 1, acquireTimeout: '8s' });
    await pool.ready();
    const client = await pool.connect();
    const cursor = client.query(new Cursor('SELECT id FROM bet'));
    await cursor.read(1);
    client.release();
    const { rows } = await pool.query('SELECT 1 AS next');
    expect(rows).toEqual([{ next: 1 }]);
  });
});
