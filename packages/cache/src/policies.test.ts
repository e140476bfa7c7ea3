import { ManualClock } from '@shardline/core';
import { describe, expect, it } from 'vitest';
import { Scheduler } from './explore/scheduler.js';
import { ScriptedStore, ScriptedTier } from './explore/scripted-tier.js';
import { createCache, type NamespaceOptions } from './index.js';

/** A namespace in memory alone, on a clock that is moved by hand. */
function inMemory(options: Partial<NamespaceOptions<unknown>> = {}) {
  const clock = new ManualClock();
  const cache = createCache({ clock, random: () => 0.5 });
  const source = { value: 'one' as unknown, loads: 0, fails: false, delayMs: 0 };
  const things = cache.namespace<unknown>('things', {
    ttl: '10s',
    jitter: 0,
    load: async (_key, { signal }) => {
      source.loads += 1;
      const { value, delayMs } = source;
      if (delayMs > 0) {
        await new Promise<void>((resolve, reject) => {
          clock.schedule(delayMs, resolve);
          signal.addEventListener('abort', () => reject(signal.reason));
        });
      }
      if (source.fails) throw new Error('the source is down');
      return value;
    },
    ...options,
  });
  return { cache, clock, source, things };
}

describe('the life of a value', () => {
  it('ends with its ttl, then it is loaded anew', async () => {
    const { clock, source, things } = inMemory();
    expect(await things.get('a')).toBe('one');
    source.value = 'two';
    await clock.advance(9999);
    expect(await things.get('a')).toBe('one');
    await clock.advance(1);
    expect(things.peek('a')).toBe(undefined);
    expect(await things.get('a')).toBe('two');
    expect(source.loads).toBe(2);
  });

  it('may be 30 days: no timer is set that would overflow', async () => {
    const { clock, things, source } = inMemory({ ttl: '30d' });
    await things.get('a');
    await clock.advance(29 * 86_400_000);
    expect(await things.get('a')).toBe('one');
    expect(source.loads).toBe(1);
  });

  it('is shortened by the jitter', async () => {
    const { clock, things } = inMemory({ jitter: 0.2 });
    await things.get('a');
    await clock.advance(8999);
    expect(things.peek('a')).toBe('one');
    await clock.advance(1);
    expect(things.peek('a')).toBe(undefined);
  });

  it('in L1 is capped by the ttl of l1', async () => {
    const { clock, things } = inMemory({ l1: { ttl: '2s' } });
    await things.get('a');
    await clock.advance(2000);
    expect(things.peek('a')).toBe(undefined);
  });
});

describe('stale while revalidate', () => {
  it('shows the old value at once and loads once behind it', async () => {
    const { clock, source, things } = inMemory({ staleWhileRevalidate: '5s' });
    await things.get('a');
    source.value = 'two';
    source.delayMs = 100;
    await clock.advance(10_500);
    expect(await Promise.all([things.get('a'), things.get('a'), things.get('a')])).toEqual([
      'one',
      'one',
      'one',
    ]);
    expect(source.loads).toBe(2);
    await clock.advance(100);
    expect(await things.get('a')).toBe('two');
  });

  it('waits for the load beyond its window', async () => {
    const { clock, source, things } = inMemory({ staleWhileRevalidate: '5s' });
    await things.get('a');
    source.value = 'two';
    await clock.advance(15_001);
    expect(await things.get('a')).toBe('two');
  });

  it('shows nothing after an invalidation', async () => {
    const { clock, source, things } = inMemory({ staleWhileRevalidate: '5s', staleIfError: '1h' });
    await things.get('a');
    source.value = 'two';
    await clock.advance(10_500);
    await things.invalidate('a');
    source.fails = true;
    await expect(things.get('a')).rejects.toThrow('the source is down');
  });
});

describe('stale if error', () => {
  it('shows the old value when loading fails, and not when it works', async () => {
    const { clock, source, things } = inMemory({ staleIfError: '1h', loadBackoff: '1s' });
    await things.get('a');
    await clock.advance(20_000);
    source.fails = true;
    expect(await things.get('a')).toBe('one');
    expect(await things.get('a')).toBe('one');
    expect(source.loads).toBe(2); // the back-off spared the source the second time
    source.fails = false;
    source.value = 'two';
    await clock.advance(1000);
    expect(await things.get('a')).toBe('two');
  });

  it('shows the old value after the soft deadline, and the load goes on', async () => {
    const { clock, source, things } = inMemory({ staleIfError: '1h', softTimeout: '200ms' });
    await things.get('a');
    await clock.advance(20_000);
    source.value = 'two';
    source.delayMs = 1000;
    const asked = things.get('a');
    await clock.advance(199);
    await clock.advance(1);
    expect(await asked).toBe('one');
    await clock.advance(800);
    expect(await things.get('a')).toBe('two');
    expect(source.loads).toBe(2);
  });

  it('ends with its window', async () => {
    const { clock, source, things } = inMemory({ staleIfError: '1m' });
    await things.get('a');
    await clock.advance(70_001);
    source.fails = true;
    await expect(things.get('a')).rejects.toThrow('the source is down');
  });
});

describe('loading', () => {
  it('that hangs ends by its hard deadline, and a new try works', async () => {
    const { clock, source, things } = inMemory({ loadTimeout: '3s', loadBackoff: '0ms' });
    source.delayMs = 1e9;
    const hanging = things.get('a').catch((error: { code: string }) => error.code);
    await clock.advance(3000);
    expect(await hanging).toBe('CACHE_LOAD_TIMEOUT');
    source.delayMs = 0;
    expect(await things.get('a')).toBe('one');
  });

  it('is shared by all who wait, and each may give up for himself', async () => {
    const { clock, source, things } = inMemory();
    source.delayMs = 100;
    const impatient = new AbortController();
    const given = things
      .get('a', { signal: impatient.signal })
      .catch((e: { code: string }) => e.code);
    const patient = things.get('a');
    impatient.abort();
    expect(await given).toBe('ABORTED');
    await clock.advance(100);
    expect(await patient).toBe('one');
    expect(source.loads).toBe(1);
  });

  it('is told to stop when nobody waits any more', async () => {
    const { source, things } = inMemory();
    source.delayMs = 1e9;
    const impatient = new AbortController();
    const given = things
      .get('a', { signal: impatient.signal })
      .catch((e: { code: string }) => e.code);
    impatient.abort();
    expect(await given).toBe('ABORTED');
    source.delayMs = 0;
    expect(await things.get('a')).toBe('one');
  });

  it('that fails is not repeated during the back-off, and its error is thrown again', async () => {
    const { clock, source, things } = inMemory({ loadBackoff: '1s' });
    source.fails = true;
    await expect(things.get('a')).rejects.toThrow('the source is down');
    await expect(things.get('a')).rejects.toThrow('the source is down');
    expect(source.loads).toBe(1);
    source.fails = false;
    await clock.advance(1000);
    expect(await things.get('a')).toBe('one');
  });

  it('that throws at once, not in a promise, is a failure like any other', async () => {
    const { things } = inMemory({
      load: () => {
        throw new Error('at once');
      },
    });
    await expect(things.get('a')).rejects.toThrow('at once');
  });
});

describe('absence', () => {
  it('is asked for again each time, unless it has a ttl', async () => {
    const { source, things } = inMemory();
    source.value = undefined;
    expect(await things.get('a')).toBe(undefined);
    expect(await things.get('a')).toBe(undefined);
    expect(source.loads).toBe(2);
  });

  it('is remembered for its own ttl', async () => {
    const { clock, source, things } = inMemory({ negativeTtl: '2s' });
    source.value = undefined;
    expect(await things.get('a')).toBe(undefined);
    expect(await things.get('a')).toBe(undefined);
    expect(source.loads).toBe(1);
    source.value = 'born';
    await clock.advance(2000);
    expect(await things.get('a')).toBe('born');
  });

  it('is no value: null, 0, false and the empty text are', async () => {
    for (const value of [null, 0, false, '', Number.NaN]) {
      const { source, things } = inMemory();
      source.value = value;
      expect(await things.get('a')).toBe(value);
      expect(await things.get('a')).toBe(value);
      expect(source.loads).toBe(1);
    }
  });
});

describe('refresh ahead of expiry', () => {
  it('happens once, near the end, while the old value is shown', async () => {
    const { clock, source, things } = inMemory({ eagerRefresh: 2 });
    source.delayMs = 1000;
    const first = things.get('a');
    await clock.advance(1000);
    await first;
    await clock.advance(5000);
    source.value = 'two';
    expect(await things.get('a')).toBe('one');
    expect(source.loads).toBe(1); // -1000 * 2 * ln(0.5) = 1386 ms before the end
    await clock.advance(4000);
    expect(await things.get('a')).toBe('one');
    expect(await things.get('a')).toBe('one');
    expect(source.loads).toBe(2);
    await clock.advance(1000);
    expect(await things.get('a')).toBe('two');
  });
});

describe('values', () => {
  it('are frozen, all the way down, and handed out by reference', async () => {
    const { source, things } = inMemory();
    source.value = { bets: [{ stake: 1 }] };
    const first = (await things.get('a')) as { bets: { stake: number }[] };
    expect(await things.get('a')).toBe(first);
    expect(() => {
      (first.bets[0] as { stake: number }).stake = 2;
    }).toThrow(TypeError);
  });

  it('are copies where the namespace asks for them', async () => {
    const { source, things } = inMemory({ clone: true });
    source.value = { stake: 1 };
    const first = (await things.get('a')) as { stake: number };
    first.stake = 2;
    expect(await things.get('a')).toEqual({ stake: 1 });
  });

  it('with cycles are kept in memory', async () => {
    const { source, things } = inMemory();
    const cyclic: Record<string, unknown> = { name: 'x' };
    cyclic['self'] = cyclic;
    source.value = cyclic;
    expect(await things.get('a')).toBe(cyclic);
    expect(things.peek('a')).toBe(cyclic);
  });
});

describe('L1', () => {
  it('keeps to its limits of entries and bytes', async () => {
    const { cache, things } = inMemory({ l1: { maxEntries: 10, maxBytes: 2000 } });
    for (let index = 0; index < 100; index += 1) await things.set(`k${index}`, 'x'.repeat(50));
    const kept = Array.from({ length: 100 }, (_, index) => things.peek(`k${index}`)).filter(
      Boolean,
    );
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.length).toBeLessThanOrEqual(10);
    await things.set('large', 'x'.repeat(5000));
    expect(things.peek('large')).toBe(undefined);
    await cache.close();
  });

  it('is not believed beyond the bound when nothing is heard from the bus', async () => {
    const scheduler = new Scheduler();
    const { clock } = scheduler;
    const step = { step: () => Promise.resolve(), clock } as unknown as Scheduler;
    const l2 = new ScriptedTier('l2', new ScriptedStore(), step, 'P');
    const cache = createCache({ l2, clock });
    let value = 'old';
    const things = cache.namespace('things', { ttl: '1h', bound: '2s', load: () => value });
    expect(await things.get('a')).toBe('old');
    await clock.advance(1999);
    expect(things.peek('a')).toBe('old');
    await clock.advance(2);
    expect(things.peek('a')).toBe(undefined);
    value = 'new';
    // Another process invalidates; nobody tells this one.
    await l2.invalidate(['shardline:things:v:a']);
    expect(await things.get('a')).toBe('new');
    await cache.close();
  });
});

describe('a memoised function', () => {
  it('is called once for the same arguments', async () => {
    const { cache } = inMemory();
    let calls = 0;
    const sums = cache.namespace<number>('sums', { ttl: '1m' });
    const sum = sums.wrap(async (left: number, right: number) => {
      calls += 1;
      return left + right;
    });
    expect([await sum(1, 2), await sum(1, 2), await sum(2, 1)]).toEqual([3, 3, 3]);
    expect(calls).toBe(2);
  });

  it('keeps arguments apart that hold colons', async () => {
    const { cache } = inMemory();
    const pairs = cache.namespace<string>('pairs', { ttl: '1m' });
    const join = pairs.wrap((left: string, right: string) => `${left}|${right}`);
    expect(await join('a:b', 'c')).toBe('a:b|c');
    expect(await join('a', 'b:c')).toBe('a|b:c');
  });
});

describe('after close', () => {
  it('every call is refused and nothing is left behind', async () => {
    const { cache, clock, things } = inMemory({ staleIfError: '1h' });
    await things.get('a');
    await cache.close();
    await expect(things.get('a')).rejects.toMatchObject({ code: 'CLOSED' });
    expect(() => cache.namespace('more', { ttl: '1s' })).toThrow(/closed/);
    await clock.advance(5);
    expect(clock.pending).toBe(0);
  });
});
