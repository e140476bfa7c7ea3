import { type PostgresServer, startPostgres } from '@shardline/testkit';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  checkCatalog,
  grantRouter,
  loadCatalog,
  migrateCatalog,
  newestRevision,
  publishChange,
  publishFirst,
  releaseHold,
  renewLease,
  requestHold,
  unacknowledgedRouters,
  unregisterRouter,
} from './catalog.js';
import { topologyOf } from './topology-file.js';

const first = topologyOf({
  shards: { a: {}, b: { weight: 2 } },
  keyspaces: {
    users: { keyType: 'bigint', slots: 64, owners: { a: '0-20', b: '21-63' } },
    events: { keyType: 'uuid', slots: 16, owners: { a: '0-15' } },
  },
});
const router = {
  id: '00000000-0000-4000-8000-000000000001',
  name: 'web',
  version: '0.1.0',
  leaseMs: 60_000,
};

let server: PostgresServer;
let client: pg.Client;
beforeAll(async () => {
  server = await startPostgres({ name: 'catalog' });
  client = new pg.Client({ connectionString: server.url });
  await client.connect();
});
afterAll(async () => {
  await client?.end();
  await server?.stop();
});
beforeEach(async () => {
  await client.query('DROP SCHEMA IF EXISTS shardline CASCADE');
});

describe('the catalog', () => {
  test('is migrated once by many who start together', async () => {
    const clients = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const one = new pg.Client({ connectionString: server.url });
        await one.connect();
        return one;
      }),
    );
    const applied = await Promise.all(clients.map((one) => migrateCatalog(one)));
    expect(applied.flat()).toEqual([1, 2]);
    await Promise.all(clients.map((one) => one.end()));
  });

  test('says when it is missing', async () => {
    await expect(checkCatalog(client)).rejects.toMatchObject({ code: 'CATALOG_MISSING' });
    await migrateCatalog(client);
    await checkCatalog(client);
    expect(await loadCatalog(client)).toBeUndefined();
  });

  test('gives back what was published, through every kind of change', async () => {
    await migrateCatalog(client);
    await publishFirst(client, first);
    await expect(publishFirst(client, first)).rejects.toMatchObject({ code: 'CATALOG_CONFLICT' });
    let current = first;
    for (const change of [
      { keyspace: 'users', shards: [{ name: 'c', weight: 1 }] },
      {
        keyspace: 'users',
        enterTransit: [
          { shard: 'a', slots: [1, 2] },
          { shard: 'c', slots: [1, 2] },
        ],
      },
      { keyspace: 'users', owners: [{ shard: 'c', slots: [1, 2] }] },
      {
        keyspace: 'users',
        leaveTransit: [
          { shard: 'a', slots: [1, 2] },
          { shard: 'c', slots: [1, 2] },
        ],
      },
      { keyspace: 'users', owners: [{ shard: 'a', slots: [1, 2] }] },
      { keyspace: 'users', removeShards: ['c'] },
    ]) {
      current = await publishChange(client, current, change);
      expect((await loadCatalog(client))?.topology.toData()).toEqual(current.toData());
    }
  });

  test('lets one of two win who decide on the same epoch', async () => {
    await migrateCatalog(client);
    await publishFirst(client, first);
    const change = (slot: number) => ({
      keyspace: 'users',
      owners: [{ shard: 'b', slots: [slot] }],
    });
    await publishChange(client, first, change(1));
    await expect(publishChange(client, first, change(2))).rejects.toMatchObject({
      code: 'CATALOG_CONFLICT',
      retryable: true,
    });
    const state = await loadCatalog(client);
    expect(state?.topology.keyspace('users').ownerOf(2)).toBe('a');
  });

  test('knows which live routers have not acknowledged a hold', async () => {
    await migrateCatalog(client);
    await publishFirst(client, first);
    const known = await renewLease(client, { ...router, acknowledgedRevision: 1 });
    expect(known).toBe(1);
    const { id, revision } = await requestHold(client, 'users', [3, 4]);
    expect(await unacknowledgedRouters(client, revision)).toMatchObject([{ name: 'web' }]);
    expect((await loadCatalog(client))?.holds).toEqual([{ id, keyspace: 'users', slots: [3, 4] }]);
    await renewLease(client, { ...router, acknowledgedRevision: revision });
    expect(await unacknowledgedRouters(client, revision)).toEqual([]);
    // A late message does not take an acknowledgement back.
    await renewLease(client, { ...router, acknowledgedRevision: 1 });
    expect(await unacknowledgedRouters(client, revision)).toEqual([]);
    expect(await releaseHold(client, id)).toBe(revision + 1);
    await client.query(`UPDATE shardline.router SET lease_until = now() - interval '1s'`);
    expect(await unacknowledgedRouters(client, revision + 1)).toEqual([]);
    await unregisterRouter(client, router.id);
  });

  test('a role with the rights of a router can do what a router does and no more', async () => {
    await migrateCatalog(client);
    await publishFirst(client, first);
    await client.query(
      `DO $$ BEGIN IF to_regrole('web "app"') IS NULL THEN CREATE ROLE "web ""app"""; END IF; END $$`,
    );
    await grantRouter(client, 'web "app"');
    await client.query('SET ROLE "web ""app"""');
    try {
      await checkCatalog(client);
      await loadCatalog(client);
      await renewLease(client, { ...router, acknowledgedRevision: 1 });
      expect(await newestRevision(client)).toBe(1);
      await unregisterRouter(client, router.id);
      const change = { keyspace: 'users', owners: [{ shard: 'b', slots: [1] }] };
      await expect(publishChange(client, first, change)).rejects.toMatchObject({ code: '42501' });
      await expect(requestHold(client, 'users', [1])).rejects.toMatchObject({ code: '42501' });
    } finally {
      await client.query('RESET ROLE');
    }
  });
});
