import {
  type MemcachedServer,
  type RedisServer,
  startMemcached,
  startRedis,
} from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cache, createCache, type NamespaceOptions } from '../index.js';

interface Row {
  readonly name: string;
}

/** Two processes on real tiers, and the source that both change. */
describe('update', () => {
  let redis: RedisServer;
  let memcached: MemcachedServer;
  let number = 0;
  const open: Cache[] = [];
  beforeAll(async () => {
    [redis, memcached] = await Promise.all([startRedis({}), startMemcached({})]);
  });
  afterAll(async () => {
    await Promise.all(open.map((cache) => cache.close()));
    await redis?.stop();
    await memcached?.stop();
  });

  async function pair(options: Partial<NamespaceOptions<Row>> = {}) {
    number += 1;
    const source = { row: { name: 'old' } as Row | undefined, loads: 0 };
    const caches = [0, 1].map(() =>
      createCache({
        redis: redis.url,
        memcached: memcached.address,
        prefix: `u${number}`,
        l2Timeout: '2s',
        l3Timeout: '2s',
      }),
    ) as [Cache, Cache];
    open.push(...caches);
    await Promise.all(caches.map((cache) => cache.ready()));
    const load = () => {
      source.loads += 1;
      return source.row;
    };
    const [one, two] = caches.map((cache) =>
      cache.namespace<Row>('rows', { ttl: '1h', coherence: 'strict', load, ...options }),
    );
    return {
      source,
      caches,
      one: one as NonNullable<typeof one>,
      two: two as NonNullable<typeof two>,
    };
  }

  /** A change of the source that ends when it is told to. */
  function held<T>(change: () => T) {
    let begun: () => void = () => {};
    let end: () => void = () => {};
    const hasBegun = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const mayEnd = new Promise<void>((resolve) => {
      end = resolve;
    });
    const work = async () => {
      begun();
      await mayEnd;
      return change();
    };
    return { work, hasBegun, end: () => end() };
  }

  it('answers with what the work returned, and every process reads it without a load', async () => {
    const { source, one, two } = await pair();
    await two.get('k');
    const row = await one.update('k', () => {
      source.row = { name: 'new' };
      return source.row;
    });
    expect(row).toEqual({ name: 'new' });
    expect([await one.get('k'), await two.get('k')]).toEqual([row, row]);
    expect(source.loads).toBe(1);
  });

  it('is not undone by a load that began before it and ends after it', async () => {
    const { source, one, two } = await pair();
    const slow = held(() => ({ name: 'old' }));
    const reading = two.get('k', { load: slow.work });
    await slow.hasBegun;
    await one.update('k', () => {
      source.row = { name: 'new' };
      return source.row;
    });
    slow.end();
    expect(await reading).toEqual({ name: 'old' });
    expect([await one.get('k'), await two.get('k')]).toEqual([{ name: 'new' }, { name: 'new' }]);
  });

  it('leaves no value behind where another change overlapped it, whichever came first', async () => {
    const { source, one, two } = await pair();
    const first = held(() => ({ name: 'from the first' }));
    const updating = one.update('k', first.work);
    await first.hasBegun;
    await two.update('k', () => ({ name: 'from the second' }));
    source.row = { name: 'as the source has it' };
    first.end();
    expect(await updating).toEqual({ name: 'from the first' });
    expect([await one.get('k'), await two.get('k')]).toEqual([source.row, source.row]);
    expect(source.loads).toBe(1);
  });

  it('leaves no value behind where an invalidation came in between', async () => {
    const { source, one, two } = await pair();
    const change = held(() => ({ name: 'overtaken' }));
    const updating = one.update('k', change.work);
    await change.hasBegun;
    source.row = { name: 'newest' };
    await two.invalidate('k');
    change.end();
    await updating;
    expect(await one.get('k')).toEqual({ name: 'newest' });
  });

  it('invalidates when the work throws, which it passes on, or returns that the key is gone', async () => {
    const { source, one, two } = await pair();
    await two.get('k');
    const fault = new Error('constraint violated');
    const failing = one.update('k', () => {
      source.row = { name: 'written all the same' };
      throw fault;
    });
    await expect(failing).rejects.toBe(fault);
    expect(await two.get('k')).toEqual({ name: 'written all the same' });
    const gone = await one.update<undefined>('k', () => {
      source.row = undefined;
      return undefined;
    });
    expect([gone, await two.get('k')]).toEqual([undefined, undefined]);
  });

  it('is loaded anew where only the value tells its tags', async () => {
    const { source, one, two } = await pair({ tags: (_key, row) => [`name:${row?.name}`] });
    await one.update('k', () => {
      source.row = { name: 'tagged' };
      return source.row;
    });
    expect(await two.get('k')).toEqual({ name: 'tagged' });
    source.row = { name: 'after the tag' };
    await one.invalidateTags(['name:tagged']);
    expect(await two.get('k')).toEqual({ name: 'after the tag' });
  });

  it('keeps the tags and the ttl that it was given', async () => {
    const { source, one, two } = await pair();
    const work = () => ({ name: 'given' });
    await one.update('k', work, { tags: ['vip'] });
    source.row = { name: 'after the tag' };
    await two.invalidateTags(['vip']);
    expect(await two.get('k')).toEqual({ name: 'after the tag' });
    await one.update('short', work, { ttl: '50ms' });
    await expect.poll(() => two.get('short')).toEqual({ name: 'after the tag' });
  });

  it('ends by the deadline of a load, and its signal fires, with nothing old left to read', async () => {
    const { source, one, two } = await pair({ loadTimeout: '100ms' });
    await two.get('k');
    let stopped: unknown;
    const stuck = one.update('k', ({ signal }) => {
      source.row = { name: 'perhaps' };
      signal.addEventListener('abort', () => {
        stopped = signal.reason;
      });
      return new Promise<Row>(() => {});
    });
    await expect(stuck).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(stopped).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(await two.get('k')).toEqual({ name: 'perhaps' });
    const aborted = one.update('k', () => ({ name: 'x' }), { signal: AbortSignal.abort() });
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('is refused within a transaction that it would not be part of, before any work is done', async () => {
    const { one, caches } = await pair();
    let ran = false;
    const within = caches[0].afterCommit(() =>
      one.update('k', () => {
        ran = true;
        return { name: 'x' };
      }),
    );
    await expect(within).rejects.toMatchObject({ code: 'CACHE_WRITE_IN_TRANSACTION' });
    await expect(one.update('', () => ({ name: 'x' }))).rejects.toMatchObject({
      code: 'CACHE_KEY_INVALID',
    });
    expect(ran).toBe(false);
  });
});
