import type { ShardlineError } from '@shardline/core';
import { describe, expect, test } from 'vitest';
import { resolveConfig } from './config-check.js';

const good = {
  name: 'shop',
  shards: { one: { primary: 'postgres://127.0.0.1/shop' } },
  keyspaces: { customers: { keyType: 'bigint' } },
  entities: { customers: { table: 'customers', keyspace: 'customers', key: 'customer_id' } },
};

function faultsOf(config: unknown) {
  try {
    resolveConfig(config);
  } catch (error) {
    return (error as ShardlineError).details.faults;
  }
  return [];
}

describe('the configuration of a data layer', () => {
  test('is filled in with defaults', () => {
    expect(resolveConfig(good)).toMatchObject({
      shards: { one: { replicas: [] } },
      keyspaces: { customers: { slots: 4096 } },
    });
  });

  test('names every fault at once, each with its path', () => {
    expect(
      faultsOf({
        ...good,
        shards: {},
        keyspaces: { customers: { keyType: 'integer' } },
        entities: { customers: { tabel: 'customers', keyspace: 'customers', key: 'customer_id' } },
        limits: { tiers: { free: { limit: 0, per: 60 } } },
      }),
    ).toEqual(
      expect.arrayContaining([
        { path: 'shards', message: 'must name at least one shard' },
        { path: 'keyspaces.customers.keyType', message: "must be 'bigint', 'text' or 'uuid'" },
        { path: 'entities.customers.table', message: 'is missing' },
        { path: 'entities.customers.tabel', message: "is no option; did you mean 'table'?" },
        {
          path: 'limits.tiers.free.limit',
          message: 'must be a whole number of 1 or more, received 0',
        },
        {
          path: 'limits.tiers.free.per',
          message: "60 has no unit: write '60s' if seconds are meant, '60ms' if milliseconds",
        },
      ]),
    );
  });

  test('names what its parts may say alone and not together', () => {
    expect(
      faultsOf({
        ...good,
        keyspaces: { customers: { keyType: 'bigint', slots: 1000 } },
        entities: {
          customers: { ...good.entities.customers, cache: { ttl: '1h', tiers: ['l2', 'l3'] } },
          orders: { table: 'orders', keyspace: 'clients', key: 'customer_id' },
        },
      }),
    ).toEqual([
      { path: 'keyspaces.customers.slots', message: 'must be a power of two, received 1000' },
      { path: 'entities.customers.cache.tiers', message: "uses 'l2', but no `redis` is given" },
      { path: 'entities.customers.cache.tiers', message: "uses 'l3', but no `memcached` is given" },
      {
        path: 'entities.orders.keyspace',
        message: "names the keyspace 'clients'; there are 'customers'",
      },
    ]);
  });
});
