import * as v from 'valibot';
import { describe, expectTypeOf, test } from 'vitest';
import { z } from 'zod';
import { defineConfig } from './config.js';
import { createMemoryLayer } from './testing/index.js';

const config = defineConfig({
  name: 'shop',
  shards: { one: { primary: 'postgres://127.0.0.1/shop' } },
  keyspaces: { customers: { keyType: 'bigint' }, events: { keyType: 'uuid' } },
  entities: {
    customers: {
      table: 'customers',
      keyspace: 'customers',
      key: 'customer_id',
      schema: v.object({ customer_id: v.bigint(), name: v.string(), note: v.nullable(v.string()) }),
      cache: { ttl: '1h', tiers: ['l1'] },
    },
    orders: {
      table: 'orders',
      keyspace: 'customers',
      key: 'customer_id',
      id: 'order_id',
      schema: z.object({ customer_id: z.bigint(), order_id: z.string(), cents: z.number() }),
    },
    events: { table: 'events', keyspace: 'events', key: 'event_id' },
    settings: {
      table: 'settings',
      shard: 'one',
      key: 'name',
      schema: z.object({ name: z.enum(['theme', 'language']), value: z.string() }),
    },
  },
  namespaces: {
    boards: { ttl: '5m', load: async (board: string) => [{ board, points: 1 }] },
  },
  events: {
    'customer.renamed': ['customers:{customerId}', 'boards:*'],
    'order.placed': {
      invalidates: ['boards:{board.name}'],
      payload: v.object({ board: v.object({ name: v.string() }) }),
    },
    'board.cleared': ['boards:{board.id}'],
    'night.fell': ['boards:*'],
  },
});

type Layer = ReturnType<typeof layer>;
const layer = () => createMemoryLayer(config);

/** Checked by the compiler: a mistake here is an error of `tsc`. */
describe('the types of a layer', () => {
  test('rows are those of their schema, by valibot, zod or none', () => {
    expectTypeOf<Awaited<ReturnType<Layer['entities']['customers']['get']>>>().toEqualTypeOf<
      { customer_id: bigint; name: string; note: string | null } | undefined
    >();
    expectTypeOf<Awaited<ReturnType<Layer['entities']['orders']['insert']>>>().toEqualTypeOf<{
      customer_id: bigint;
      order_id: string;
      cents: number;
    }>();
    expectTypeOf<Awaited<ReturnType<Layer['entities']['events']['get']>>>().toEqualTypeOf<
      Record<string, unknown> | undefined
    >();
  });

  test('keys are those of their keyspace, and ids and other keys those of the schema', () => {
    expectTypeOf<Layer['entities']['customers']['get']>().toBeCallableWith(42n);
    expectTypeOf<Layer['entities']['customers']['get']>().toBeCallableWith('42');
    // @ts-expect-error A text that is no whole number is no key here.
    expectTypeOf<Layer['entities']['customers']['get']>().toBeCallableWith('Ada');
    // @ts-expect-error An order has an id besides.
    expectTypeOf<Layer['entities']['orders']['get']>().toBeCallableWith(42n);
    expectTypeOf<Layer['entities']['orders']['get']>().toBeCallableWith(42n, 'order-1');
    expectTypeOf<Layer['entities']['orders']['update']>().toBeCallableWith([42n, 'order-1'], {
      cents: 5,
    });
    // @ts-expect-error The keys of this keyspace are texts.
    expectTypeOf<Layer['entities']['events']['get']>().toBeCallableWith(7);
    expectTypeOf<Parameters<Layer['entities']['settings']['delete']>[0]>().toEqualTypeOf<
      'theme' | 'language'
    >();
  });

  test('changes and rows name columns that there are', () => {
    expectTypeOf<Layer['entities']['customers']['update']>().toBeCallableWith(42n, { note: null });
    // @ts-expect-error There is no such column.
    expectTypeOf<Layer['entities']['customers']['update']>().toBeCallableWith(42n, { nmae: 'A' });
  });

  test('payloads follow from the braces, or from the schema of the event', () => {
    const emit: Layer['emit'] = async () => ({ acknowledged: true, waitingFor: [] });
    void emit('customer.renamed', { customerId: 42n });
    // @ts-expect-error The field is called otherwise.
    void emit('customer.renamed', { id: 42n });
    // @ts-expect-error No such event.
    void emit('customer.named', { customerId: 42n });
    void emit('order.placed', { board: { name: 'week' } });
    void emit('board.cleared', { board: { id: 1 } });
    void emit('night.fell', {});
  });

  test('cached queries give what their loader gives', () => {
    expectTypeOf<Awaited<ReturnType<Layer['namespaces']['boards']['get']>>>().toEqualTypeOf<
      { board: string; points: number }[] | undefined
    >();
  });
});
