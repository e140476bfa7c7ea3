import { ManualClock } from '@shardline/core';
import { type RedisServer, startRedis } from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CacheOptions, createCache, type WarmProgress } from '../index.js';
import { TopKeys } from './top-keys.js';

/** A cache in memory on a clock moved by hand, with a namespace whose loads are counted. */
function inMemory(options: Partial<CacheOptions> = {}, loadMs = 0) {
  const clock = new ManualClock();
  const cache = createCache({ clock, ...options });
  const loaded: string[] = [];
  const source = { failing: new Set<string>(), loadMs };
  const things = cache.namespace<string>('things', {
    ttl: '1h',
    loadBackoff: '0ms',
    load: async (key) => {
      if (source.loadMs > 0) {
        await new Promise<void>((done) => clock.schedule(source.loadMs, done));
      }
      if (source.failing.has(key)) throw new Error('no');
      loaded.push(key);
      return `value of ${key}`;
    },
  });
  return { cache, clock, loaded, source, things };
}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => `k${index}`);

async function finish<T>(work: Promise<T>, clock: ManualClock, stepMs = 100): Promise<T> {
  let isOver = false;
  void work.finally(() => {
    isOver = true;
  });
  for (let step = 0; !isOver && step < 10_000; step += 1) await clock.advance(stepMs);
  return work;
}

describe('the top keys', () => {
  it('of a skewed stream are found in bounded memory, none counted too high', () => {
    const keep = 400;
    const asked = 200_000;
    const top = new TopKeys(keep);
    let largest = 0;
    const truth = new Map<string, number>();
    let state = 7;
    for (let index = 0; index < asked; index += 1) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      const key = `k${Math.floor(10_000 ** (state / 2 ** 32)) - 1}`;
      truth.set(key, (truth.get(key) ?? 0) + 1);
      top.add(key, 1);
      largest = Math.max(largest, top.size);
    }
    expect(largest).toBeLessThanOrEqual(2 * keep);
    const taken = top.take();
    for (const [key, count] of taken) {
      expect(count).toBeLessThanOrEqual(truth.get(key) as number);
    }
    // Whatever was asked for more often than the error can be must be there.
    const hottest = [...truth].filter(([, count]) => count > asked / keep);
    expect(hottest.length).toBeGreaterThan(20);
    const found = new Set(taken.map(([key]) => key));
    expect(hottest.filter(([key]) => !found.has(key))).toEqual([]);
    expect(top.take()).toEqual([]);
  });
});

describe('a run of warming', () => {
  it('loads what is missing, leaves what is there, and says how far it is', async () => {
    const { cache, clock, loaded, source, things } = inMemory({
      warming: { loadsPerSecond: 1_000_000 },
    });
    await things.set('k3', 'set before');
    source.failing.add('k5');
    const steps: WarmProgress[] = [];
    const keys = { things: numbers(250) };
    const report = await finish(cache.warm({ keys, onProgress: (one) => steps.push(one) }), clock);
    const present = 1;
    expect(report).toEqual({ done: 250, loaded: 248, present, failed: 1, stoppedBy: undefined });
    expect(steps.map(({ done }) => done)).toEqual([100, 200, 250]);
    expect(things.peek('k3')).toBe('set before');
    expect(loaded.length).toBe(248);
  });

  it('keeps to its loads a second and to its concurrency', async () => {
    const { cache, clock, loaded } = inMemory(
      { warming: { loadsPerSecond: 10, concurrency: 2 } },
      20,
    );
    const work = cache.warm({ keys: { things: numbers(40) } });
    await clock.advance(1000);
    expect(loaded.length).toBeLessThanOrEqual(11);
    expect(loaded.length).toBeGreaterThan(5);
    expect((await finish(work, clock)).loaded).toBe(40);
  });

  it('that was cut short is begun anew and loads only the rest', async () => {
    const { cache, clock, loaded } = inMemory({ warming: { loadsPerSecond: 10 } });
    const keys = { things: numbers(30) };
    const first = await finish(cache.warm({ keys, deadline: '1s' }), clock);
    expect(first.stoppedBy).toBe('deadline');
    expect(first.loaded).toBeLessThan(30);
    const second = await finish(cache.warm({ keys }), clock);
    expect(second.stoppedBy).toBe(undefined);
    expect(first.loaded + second.loaded).toBe(30);
    expect([...loaded].sort()).toEqual(numbers(30).sort());
  });

  it('stops when loads grow slow, and may begin again once they are not', async () => {
    const { cache, clock, source } = inMemory(
      { warming: { loadsPerSecond: 1000, maxLoadP99: '100ms' } },
      10,
    );
    source.loadMs = 300;
    const report = await finish(cache.warm({ keys: { things: numbers(200) } }), clock);
    expect(report.stoppedBy).toBe('slow source');
    expect(report.loaded).toBeLessThan(40);
    source.loadMs = 10;
    await clock.advance(61_000);
    const again = await finish(cache.warm({ keys: { things: numbers(200) } }), clock);
    expect([again.stoppedBy, again.done]).toEqual([undefined, 200]);
  });

  it('ends with its signal, with the cache, and refuses what the cache does not have', async () => {
    const { cache, clock } = inMemory({ warming: { loadsPerSecond: 1 } });
    const giveUp = new AbortController();
    const work = cache.warm({ keys: { things: numbers(10) }, signal: giveUp.signal });
    await clock.advance(10);
    giveUp.abort();
    expect((await work).stoppedBy).toBe('abort');
    await expect(cache.warm({ keys: { nothing: ['a'] } })).rejects.toThrow(/is no namespace/);
    const last = cache.warm({ keys: { things: numbers(10) } });
    await clock.advance(10);
    await cache.close();
    expect((await last).stoppedBy).toBe('abort');
    expect(clock.pending).toBe(0);
  });
});

describe('what an event makes likely', () => {
  it('is read behind it, after its invalidations, and once the commit is done', async () => {
    const { cache, clock, loaded, things } = inMemory({
      rules: { userLogin: ['things:{userId}'] },
      warming: { events: { userLogin: ['things:{userId}'], seen: ['things:{userId}'] } },
    });
    await things.set('7', 'old');
    await cache.emit('userLogin', { userId: 7 });
    await clock.advance(20);
    expect([things.peek('7'), loaded]).toEqual(['value of 7', ['7']]);
    await cache.emit('seen', { userId: 8 });
    await clock.advance(20);
    expect(loaded).toEqual(['7', '8']);
    await cache.afterCommit(async () => {
      await cache.emit('userLogin', { userId: 9 });
      await clock.advance(20);
      expect(loaded).toEqual(['7', '8']);
    });
    await clock.advance(20);
    expect([things.peek('9'), loaded]).toEqual(['value of 9', ['7', '8', '9']]);
  });

  it('is let go when too much waits, and can only be keys', async () => {
    const { cache, clock, loaded } = inMemory(
      { warming: { events: { seen: ['things:{id}'] }, maxQueued: 3 } },
      100,
    );
    for (let id = 0; id < 10; id += 1) await cache.emit('seen', { id });
    await finish(new Promise<void>((done) => clock.schedule(5000, done)), clock);
    expect(loaded.length).toBe(3);
    const patterns = () => createCache({ warming: { events: { seen: ['things:*', 'things#t'] } } });
    expect(patterns).toThrow(/warming.events\['seen'\]\[0\].*warming.events\['seen'\]\[1\]/s);
  });
});

describe('hot keys', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis({});
  });
  afterAll(() => redis?.stop());

  const options = { ttl: '1h', hotKeys: 10, load: (key: string) => `value of ${key}` } as const;

  it('of an hour are remembered in Redis, fade by half each week, and warm another process', async () => {
    const HOUR_MS = 3_600_000;
    const WEEK_MS = 168 * HOUR_MS;
    async function day(wallMs: number, keys: readonly string[]) {
      // Every stride is the mean one: counts drawn at random are now and then the other way about.
      const random = () => 0.5;
      const cache = createCache({ redis: redis.url, clock: clockAt(wallMs), random });
      await cache.ready();
      const things = cache.namespace<string>('things', options);
      for (const key of keys) await things.get(key);
      await cache.close();
    }
    const week = Date.UTC(2026, 5, 1, 18, 30);
    const asked = (key: string, times: number) => Array.from({ length: times }, () => key);
    await day(week, [...numbers(5).flatMap((key) => asked(key, 1)), ...asked('k0', 400)]);
    await day(week + WEEK_MS, asked('k1', 150));
    await day(week + 5 * HOUR_MS, ['other hour']);
    const scores = await redis.command(
      'ZREVRANGE',
      `shardline:things:h:${Math.floor(week / HOUR_MS) % 168}`,
      '0',
      '1',
    );
    // 400 a week ago are worth 200 today.
    expect(scores).toEqual(['k0', 'k1']);

    const next = createCache({ redis: redis.url, clock: clockAt(week + 2 * WEEK_MS) });
    await next.ready();
    const things = next.namespace<string>('things', options);
    const report = await next.warm({ hot: true });
    expect(report).toMatchObject({ done: 5, failed: 0, stoppedBy: undefined });
    expect(numbers(5).map((key) => things.peek(key))).toEqual(
      numbers(5).map((key) => `value of ${key}`),
    );
    expect((await next.warm({ hot: new Date(week + 9 * HOUR_MS) })).done).toBe(0);
    await next.close();
  });

  it('need Redis', () => {
    const cache = createCache({});
    expect(() => cache.namespace('things', options)).toThrow(/hotKeys: needs Redis/);
  });
});

/** The real clock, with a wall of its own. */
function clockAt(wallMs: number) {
  const startedAtMs = performance.now();
  return {
    now: () => wallMs + performance.now() - startedAtMs,
    monotonicMs: () => performance.now(),
    schedule(delayMs: number, callback: () => void, keepAlive = false) {
      const timer = setTimeout(callback, delayMs);
      if (!keepAlive) timer.unref();
      return { cancel: () => clearTimeout(timer) };
    },
  };
}
