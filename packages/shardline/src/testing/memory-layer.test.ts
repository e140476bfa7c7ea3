import { randomUUID } from 'node:crypto';
import * as v from 'valibot';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { defineConfig } from '../config.js';
import { createMemoryLayer } from './memory-layer.js';

const config = defineConfig({
  name: 'betting',
  shards: {
    one: { primary: 'postgres://127.0.0.1/one' },
    two: { primary: 'postgres://127.0.0.1/two' },
  },
  keyspaces: { users: { keyType: 'bigint' } },
  entities: {
    users: {
      table: 'users',
      keyspace: 'users',
      key: 'user_id',
      schema: v.object({ user_id: v.bigint(), name: v.string() }),
      cache: { ttl: '1h', tiers: ['l1'] },
    },
    bets: {
      table: 'bets',
      keyspace: 'users',
      key: 'creator_id',
      id: 'bet_id',
      schema: z.object({ creator_id: z.bigint(), bet_id: z.string(), stake: z.number() }),
      invalidates: ['openBets:{creator_id}'],
      limits: { writes: { limit: 3, per: '1h' } },
    },
  },
  namespaces: { openBets: { ttl: '1h' } },
  events: { 'day.ended': ['openBets:*'] },
});

let layer: ReturnType<typeof open>;
const open = () =>
  createMemoryLayer(config, {
    defaults: { bets: () => ({ bet_id: randomUUID() }) },
    answers: ({ text }) => (text.startsWith('SELECT count') ? [{ n: 7 }] : []),
  });

beforeEach(() => {
  layer = open();
});
afterEach(() => layer.close());

describe('a layer in memory', () => {
  test('keeps rows as the real one does: one name for one row, copies, and duplicates refused', async () => {
    const { users } = layer.entities;
    const ada = await users.insert({ user_id: 42n, name: 'Ada' });
    expect(await users.get('42')).toEqual(ada);
    expect(await users.getMany([42, 43])).toEqual([ada, undefined]);
    expect(await users.update(42n, { name: 'Ada L.' })).toEqual({ user_id: 42n, name: 'Ada L.' });
    await expect(users.insert({ user_id: 42n, name: 'Eve' })).rejects.toMatchObject({
      code: '23505',
    });
    await expect(users.update(42n, { user_id: 43n })).rejects.toMatchObject({
      code: 'ENTITY_KEY_IMMUTABLE',
    });
    expect(await users.delete(42n)).toEqual({ user_id: 42n, name: 'Ada L.' });
    expect(await users.get(42n)).toBeUndefined();
  });

  test('checks rows and keys, fills in what a database would, and lists the rows of a key', async () => {
    const { bets, users } = layer.entities;
    const bet = await bets.insert({ creator_id: 1n, stake: 5 });
    expect(await bets.get(1n, bet.bet_id)).toEqual(bet);
    await bets.insert({ creator_id: 1n, stake: 3 });
    await bets.insert({ creator_id: 2n, stake: 1 });
    const stakes = (await bets.list(1n, { orderBy: 'stake' })).map(({ stake }) => stake);
    expect(stakes).toEqual([3, 5]);
    await expect(users.insert({ name: 'nobody' })).rejects.toMatchObject({
      code: 'ENTITY_KEY_MISSING',
    });
    await expect(users.insert({ user_id: 1n, name: 5 as never })).rejects.toMatchObject({
      code: 'ENTITY_ROW_INVALID',
    });
    await expect(users.get('x' as never)).rejects.toMatchObject({ code: 'KEY_INVALID' });
  });

  test('undoes a transaction that fails, and refuses a key of another shard', async () => {
    const { users } = layer.entities;
    await users.insert({ user_id: 1n, name: 'one' });
    const attempt = layer.transaction('users', 1n, async () => {
      await users.update(1n, { name: 'changed' });
      throw new Error('no');
    });
    await expect(attempt).rejects.toThrow('no');
    expect((await users.get(1n))?.name).toBe('one');
    const stray = layer.transaction('users', 1n, async () => {
      for (let key = 2n; key < 50n; key += 1n) await users.insert({ user_id: key, name: 'x' });
    });
    await expect(stray).rejects.toMatchObject({ code: 'WRONG_SHARD' });
    expect(await users.get(2n)).toBeUndefined();
  });

  test('runs the rules of events and writes', async () => {
    const { openBets } = layer.namespaces;
    let loads = 0;
    const load = () => {
      loads += 1;
      return loads;
    };
    expect(await openBets.get('1', { load })).toBe(1);
    expect(await openBets.get('1', { load })).toBe(1);
    await layer.entities.bets.insert({ creator_id: 1n, stake: 5 });
    expect(await openBets.get('1', { load })).toBe(2);
    await layer.emit('day.ended', {});
    expect(await openBets.get('1', { load })).toBe(3);
  });

  test('limits what an entity may be asked, by key', async () => {
    const { bets } = layer.entities;
    for (let at = 0; at < 3; at += 1) await bets.insert({ creator_id: 1n, stake: at });
    await expect(bets.insert({ creator_id: 1n, stake: 9 })).rejects.toMatchObject({
      code: 'ENTITY_LIMITED',
      details: { entity: 'bets', kind: 'writes', retryAfterMs: expect.any(Number) },
    });
    await bets.insert({ creator_id: 2n, stake: 9 });
    expect(await bets.list(1n)).toHaveLength(3);
  });

  test('answers SQL as it is told, and else says that it cannot', async () => {
    expect(await layer.entities.users.query(1n, 'SELECT count(*) AS n FROM users')).toEqual([
      { n: 7 },
    ]);
    await using silent = createMemoryLayer(config);
    await expect(silent.entities.users.query(1n, 'SELECT 1')).rejects.toMatchObject({
      code: 'MEMORY_LAYER_UNSUPPORTED',
    });
    expect(() => silent.router).toThrow('MEMORY_LAYER_UNSUPPORTED');
  });
});
