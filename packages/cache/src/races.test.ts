import { type RedisServer, startMemcached, startRedis } from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cache, createCache, type NamespaceOptions } from './index.js';

/**
 * The races that bentocache 1.6, cacheable 2.5, async-cache-dedupe 3.4 and layered-loader 16.1 lose, each
 * reproduced against them before it was written down here: two processes' worth of caches on real servers.
 */

interface Deferred {
  readonly promise: Promise<void>;
  resolve(): void;
}

function deferred(): Deferred {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** A source whose reads can be held between reading and answering. */
class Source {
  value = 'old';
  loads = 0;
  #gate: Deferred | undefined;
  #entered = deferred();

  hold(): { entered: Promise<void>; release(): void } {
    const gate = deferred();
    this.#gate = gate;
    this.#entered = deferred();
    return { entered: this.#entered.promise, release: () => gate.resolve() };
  }

  readonly load = async (): Promise<string> => {
    this.loads += 1;
    const read = this.value;
    const gate = this.#gate;
    this.#gate = undefined;
    if (gate !== undefined) {
      this.#entered.resolve();
      await gate.promise;
    }
    return read;
  };
}

describe.each([
  ['Redis', ['l1', 'l2']],
  ['Redis and Memcached', ['l1', 'l2', 'l3']],
  ['Memcached alone', ['l1', 'l3']],
] as const)('races between processes over %s', (_, tiers) => {
  let redis: RedisServer;
  let memcached: Awaited<ReturnType<typeof startMemcached>>;
  const open: Cache[] = [];
  let number = 0;

  beforeAll(async () => {
    [redis, memcached] = await Promise.all([startRedis({}), startMemcached({})]);
  });
  afterAll(async () => {
    await redis?.stop();
    await memcached?.stop();
  });

  async function pair(source: Source, options: Partial<NamespaceOptions<string>> = {}) {
    number += 1;
    const caches = [0, 1].map(() =>
      createCache({ redis: redis.url, memcached: memcached.address, prefix: `p${number}` }),
    );
    open.push(...caches);
    await Promise.all(caches.map((cache) => cache.ready()));
    const [one, two] = caches.map((cache) =>
      cache.namespace<string>('things', { ttl: '1h', tiers, load: source.load, ...options }),
    );
    if (one === undefined || two === undefined) throw new Error('two caches were made');
    return { one, two, caches };
  }
  afterAll(() => Promise.all(open.map((cache) => cache.close())));

  it('a load that began before an invalidation by key does not fill: bentocache, cacheable, async-cache-dedupe, layered-loader do', async () => {
    const source = new Source();
    const { one, two } = await pair(source);
    const held = source.hold();
    const slow = one.get('k');
    await held.entered;
    source.value = 'new';
    expect((await two.invalidate('k')).acknowledged).toBe(true);
    held.release();
    expect(await slow).toBe('old'); // it began before
    expect(await two.get('k')).toBe('new');
    const fresh = tiers.includes('l2' as never);
    if (fresh) await expect.poll(() => one.peek('k') ?? 'none', { timeout: 5000 }).not.toBe('old');
    await expect.poll(() => one.get('k'), { timeout: 10_000 }).toBe('new');
  });

  it('a load that began before an invalidation by tag does not fill: bentocache and cacheable do', async () => {
    const source = new Source();
    const { one, two } = await pair(source, { tags: () => ['team'] });
    const held = source.hold();
    const slow = one.get('k');
    await held.entered;
    source.value = 'new';
    expect((await two.invalidateTags(['team'])).acknowledged).toBe(true);
    held.release();
    expect(await slow).toBe('old');
    expect(await two.get('k')).toBe('new');
    await expect.poll(() => one.get('k'), { timeout: 10_000 }).toBe('new');
  });

  it('a load that began before a clear does not fill', async () => {
    const source = new Source();
    const { one, two } = await pair(source);
    const held = source.hold();
    const slow = one.get('k');
    await held.entered;
    source.value = 'new';
    expect((await two.clear()).acknowledged).toBe(true);
    held.release();
    await slow;
    expect(await two.get('k')).toBe('new');
    await expect.poll(() => one.get('k'), { timeout: 10_000 }).toBe('new');
  });

  it('a load that began before a set by another process does not replace it', async () => {
    const source = new Source();
    const { one, two } = await pair(source);
    const held = source.hold();
    const slow = one.get('k');
    await held.entered;
    source.value = 'new';
    await two.set('k', 'new');
    held.release();
    await slow;
    expect(await two.get('k')).toBe('new');
    await expect.poll(() => one.get('k'), { timeout: 10_000 }).toBe('new');
  });

  it('whoever asks after an invalidation does not join a load from before it', async () => {
    const source = new Source();
    const { one } = await pair(source);
    const held = source.hold();
    const slow = one.get('k');
    await held.entered;
    source.value = 'new';
    await one.invalidate('k');
    expect(await one.get('k')).toBe('new');
    held.release();
    expect(await slow).toBe('old');
    expect(await one.get('k')).toBe('new');
  });

  it('twenty concurrent invalidations of a tag leave no old entry: cacheable loses all but one', async () => {
    const source = new Source();
    const { one, two } = await pair(source, { tags: () => ['team'] });
    await one.get('k');
    await two.get('k');
    source.value = 'new';
    await Promise.all(Array.from({ length: 20 }, () => one.invalidateTags(['team'])));
    expect(await one.get('k')).toBe('new');
    await expect.poll(() => two.get('k'), { timeout: 10_000 }).toBe('new');
  });

  it('0, false, the empty text and null come back as values: cacheable takes them for misses', async () => {
    const { one, two } = await pair(new Source());
    for (const value of [0, false, '', null] as unknown as string[]) {
      await one.set('falsy', value);
      expect(await one.get('falsy')).toBe(value);
      await expect.poll(() => two.get('falsy'), { timeout: 10_000 }).toBe(value);
    }
  });

  it('waiters of a load that failed do not all load: bentocache runs two at once', async () => {
    let loads = 0;
    const { one, two } = await pair(new Source(), {
      load: async () => {
        loads += 1;
        await new Promise((resolve) => setTimeout(resolve, 20));
        throw new Error('source is down');
      },
      loadBackoff: '5s',
    });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 100 }, (__, index) => (index % 2 === 0 ? one : two).get('k')),
    );
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    expect(loads).toBe(1);
  });
});

describe('races around the bus', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis({});
  });
  afterAll(async () => redis?.stop());

  it('an invalidation sent while the bus connections were cut is heard: bentocache and layered-loader miss it', async () => {
    const source = new Source();
    await using one = createCache({ redis: redis.url });
    await using two = createCache({ redis: redis.url });
    await Promise.all([one.ready(), two.ready()]);
    const options = { ttl: '1h', load: source.load, bound: '1h' } as const;
    const here = one.namespace<string>('things', options);
    const there = two.namespace<string>('things', options);
    await here.get('k');
    await there.get('k');
    for (let round = 0; round < 5; round += 1) {
      await redis.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      source.value = `new ${round}`;
      await expect.poll(async () => (await here.invalidate('k')).acknowledged).toBe(true);
      // The bound of an hour leaves it to the stream alone to tell.
      await expect.poll(() => there.get('k'), { timeout: 10_000 }).toBe(source.value);
    }
  });

  it('a stream that is trimmed, deleted or flushed while nobody listens empties L1', async () => {
    const source = new Source();
    await using one = createCache({ redis: redis.url, prefix: 'gap' });
    await one.ready();
    const things = one.namespace<string>('things', { ttl: '1h', load: source.load, bound: '1h' });
    for (const destroy of [
      () => redis.command('DEL', '{gap:bus}', '{gap:bus}:n'),
      () => redis.command('FLUSHALL'),
      () => redis.command('INCRBY', '{gap:bus}:n', '7'),
    ]) {
      // A fill that meets the gap of the round before is refused, so it may take more than one.
      const fill = async () => {
        await things.get('k');
        return things.peek('k');
      };
      await expect.poll(fill).toBeDefined();
      await one.namespace('things').invalidate('other');
      await destroy();
      await expect.poll(() => things.peek('k'), { timeout: 10_000 }).toBe(undefined);
    }
  });
});
