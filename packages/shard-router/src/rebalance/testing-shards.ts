/** Two real shards for the tests of what looks at the servers of a move. */

import { type PostgresServer, type PostgresSettings, startPostgres } from '@shardline/testkit';
import pg from 'pg';
import { Keyspace, type ShardedTable } from '../keyspace.js';
import { installShard } from '../shard/install.js';
import type { Queryable } from '../shard/queryable.js';
import { topologyOf } from '../topology/topology-file.js';
import type { MoveContext, ShardEndpoint } from './move-context.js';

/** A shard of a test with what a mover is given of it. */
export interface TestingShard {
  readonly server: PostgresServer;
  readonly pool: pg.Pool;
  readonly endpoint: ShardEndpoint;
}

export const keyspace = new Keyspace({
  name: 'users',
  keyType: 'bigint',
  hash: 'postgres',
  slots: 16,
});

/** Slots 0 to 7 are of shard `a`, the others of `b`; the tests move 0 to 3 from `a` to `b`. */
export const topology = topologyOf({
  shards: { a: {}, b: {} },
  keyspaces: { users: { keyType: 'bigint', slots: 16, owners: { a: '0-7', b: '8-15' } } },
});

export const MOVING = [0, 1, 2, 3];

export async function startTestingShard(
  name: string,
  options: { version?: number; settings?: PostgresSettings } = {},
): Promise<TestingShard> {
  const server = await startPostgres({
    name: `checks-${name}-${options.version ?? 18}`,
    ...options,
  });
  const pool = new pg.Pool({ connectionString: server.url, max: 8 });
  // A server that a test stops ends idle connections, which is no fault of the test.
  pool.on('error', () => {});
  return { server, pool, endpoint: endpointOf(name, pool) };
}

export async function stopTestingShard(shard: TestingShard | undefined): Promise<void> {
  await shard?.pool.end();
  await shard?.server.stop();
}

export function endpointOf(name: string, pool: pg.Pool): ShardEndpoint {
  return {
    name,
    primary: pool as unknown as Queryable,
    withConnection: async (work) => {
      const client = await pool.connect();
      let isBroken = true;
      try {
        const result = await work(client as unknown as Queryable);
        isBroken = false;
        return result;
      } finally {
        client.release(isBroken);
      }
    },
  };
}

export function tableOf(name: string, key = 'user_id'): ShardedTable {
  return { schema: 'public', name, key };
}

export function contextOf(
  source: TestingShard,
  destination: TestingShard,
  tables: readonly ShardedTable[],
  slots: readonly number[] = MOVING,
): MoveContext {
  return {
    keyspace,
    tables,
    slots,
    source: source.endpoint,
    destination: destination.endpoint,
  };
}

/** Makes both databases empty shards with these tables. */
export async function resetShards(
  shards: Readonly<Record<string, TestingShard>>,
  ddl: string,
  tables: readonly ShardedTable[],
): Promise<void> {
  for (const [name, shard] of Object.entries(shards)) {
    await shard.pool.query(
      `DROP SCHEMA IF EXISTS shardline CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public;
       GRANT ALL ON SCHEMA public TO PUBLIC; ${ddl}`,
    );
    await shard.endpoint.withConnection((client) =>
      installShard(client, name, topology, new Map([['users', { tables }]])),
    );
  }
}

/** The first keys of some slots. */
export function keysOf(slots: readonly number[], count: number): number[] {
  const keys: number[] = [];
  for (let key = 1; keys.length < count; key += 1) {
    if (slots.includes(keyspace.slotOf(key))) keys.push(key);
  }
  return keys;
}
