import { isShardlineError, ManualClock } from '@shardline/core';
import { startRedis } from '@shardline/testkit';
import { describe, expect, it } from 'vitest';
import {
  type CacheNamespace,
  createCache,
  type NamespaceOptions,
  type UnwrittenWrite,
  type WriteBehindOptions,
} from '../index.js';

/** A namespace in memory that writes behind, on a clock moved by hand, and the source that it writes to. */
function behind(
  writeBehind: Partial<WriteBehindOptions<unknown>> = {},
  options: Partial<NamespaceOptions<unknown>> = {},
) {
  const clock = new ManualClock();
  const cache = createCache({ clock, random: () => 1 });
  const rows = new Map<string, unknown>();
  const batches: string[][] = [];
  const unwritten: UnwrittenWrite[] = [];
  const source = { isDown: false, poison: new Set<string>() };
  const things = cache.namespace<unknown>('things', {
    ttl: '1h',
    load: async (key) => rows.get(key),
    write: 'behind',
    writeBehind: {
      onUnwritten: (write) => unwritten.push(write),
      storeMany: async (entries) => {
        batches.push(entries.map(({ key, value }) => `${key}=${value}`));
        if (source.isDown) throw new Error('the source is down');
        if (entries.some(({ key }) => source.poison.has(key))) throw new Error('refused');
        for (const { key, value } of entries) rows.set(key, value);
      },
      ...writeBehind,
    },
    ...options,
  });
  return { cache, clock, rows, batches, unwritten, source, things };
}

function text(bytes: number): string {
  return 'x'.repeat(bytes);
}

function errorOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await errorOf(work);
  return isShardlineError(error) ? error.code : `no code: ${String(error)}`;
}

/** Waits for a flush while the clock goes on. */
async function flushed(things: CacheNamespace<unknown>, clock: ManualClock) {
  let isOver = false;
  const flush = things.flush({ deadline: '1h' }).finally(() => {
    isOver = true;
  });
  for (let step = 0; !isOver && step < 1000; step += 1) await clock.advance(1000);
  return flush;
}

describe('a write behind', () => {
  it('is read here at once, and by the source after the interval', async () => {
    const { clock, rows, things } = behind({ interval: '50ms' });
    rows.set('a', 'old');
    expect(await things.get('a')).toBe('old');
    expect(await things.set('a', 'new')).toEqual({ acknowledged: false, waitingFor: ['source'] });
    expect([await things.get('a'), things.peek('a'), rows.get('a')]).toEqual(['new', 'new', 'old']);
    await clock.advance(49);
    expect(rows.get('a')).toBe('old');
    await clock.advance(1);
    expect(rows.get('a')).toBe('new');
    expect([await things.get('a'), things.peek('a')]).toEqual(['new', 'new']);
    expect(things.stats()).toMatchObject({ behindWritten: 1, behindHits: 1, loads: 1 });
  });

  it('goes with others in one batch, the newest of a key for all of them', async () => {
    const { clock, batches, things } = behind();
    for (const [key, value] of ['a=1', 'b=1', 'a=2', 'a=3'].map((one) => one.split('='))) {
      await things.set(key as string, value);
    }
    await clock.advance(50);
    expect(batches).toEqual([['a=3', 'b=1']]);
    expect(things.stats().behindCoalesced).toBe(2);
  });

  it('goes at once when a batch is full', async () => {
    const { clock, batches, things } = behind({ batch: 2, interval: '1h' });
    await things.set('a', 1);
    await things.set('b', 1);
    await clock.advance(0);
    expect(batches).toEqual([['a=1', 'b=1']]);
  });

  it('is not overtaken by a newer one of its key', async () => {
    const order: unknown[] = [];
    const gates: (() => void)[] = [];
    const storeMany = async (entries: readonly { value: unknown }[]) => {
      await new Promise<void>((go) => gates.push(go));
      for (const { value } of entries) order.push(value);
    };
    const { clock, things } = behind({ storeMany });
    await things.set('a', 1);
    await clock.advance(50);
    await things.set('a', 2);
    await clock.advance(500);
    expect([gates.length, await things.get('a')]).toEqual([1, 2]);
    gates[0]?.();
    await clock.advance(100);
    // The first is in the source, the second is under way: still nobody here reads the first.
    expect([order, gates.length, await things.get('a')]).toEqual([[1], 2, 2]);
    gates[1]?.();
    await clock.advance(1);
    expect([order, await things.get('a')]).toEqual([[1, 2], 2]);
  });

  it('is tried again with growing pauses until the source takes it', async () => {
    const { clock, batches, rows, source, things } = behind();
    source.isDown = true;
    await things.set('a', 'kept');
    await clock.advance(50 + 100 + 200 + 400);
    expect(batches.length).toBe(4);
    expect(await things.get('a')).toBe('kept');
    source.isDown = false;
    await clock.advance(800);
    expect(rows.get('a')).toBe('kept');
  });

  it('that cannot be written holds no other up, and is reported', async () => {
    const { clock, rows, source, things, unwritten } = behind({ attempts: 3 });
    source.poison.add('bad');
    for (const key of ['a', 'bad', 'b']) await things.set(key, `${key}!`);
    const report = await flushed(things, clock);
    expect([...rows.keys()].sort()).toEqual(['a', 'b']);
    expect(unwritten).toMatchObject([{ key: 'bad', value: 'bad!', state: 'failed', attempts: 3 }]);
    expect(report).toMatchObject({ written: 2, unwritten: [{ key: 'bad' }] });
    // Given up: from here on the source is believed again.
    expect(await things.get('bad')).toBe(undefined);
  });

  it('that hangs is stopped, and not overtaken by its own second try before it ends', async () => {
    let running = 0;
    let most = 0;
    let calls = 0;
    const storeMany = async () => {
      calls += 1;
      running += 1;
      most = Math.max(most, running);
      // Deaf to its signal, and too slow for its deadline the first time.
      if (calls === 1) await new Promise<void>((resolve) => clock.schedule(1500, resolve));
      running -= 1;
    };
    const { clock, things } = behind({ storeMany }, { loadTimeout: '1s' });
    await things.set('a', 1);
    await clock.advance(10_000);
    expect([calls, most, things.stats().behindWritten]).toEqual([2, 1, 1]);
  });

  it('is refused with a typed error while the buffer is full', async () => {
    const { clock, things, rows } = behind({ maxPending: 2 });
    await things.set('a', 1);
    await things.set('b', 1);
    expect(await codeOf(things.set('c', 1))).toBe('CACHE_WRITE_BEHIND_FULL');
    await things.set('a', 2); // takes no new place
    await clock.advance(50);
    await things.set('c', 1);
    await clock.advance(50);
    expect([...rows]).toEqual([
      ['a', 2],
      ['b', 1],
      ['c', 1],
    ]);
  });

  it('waits for a place where that is declared, in order, and not for ever', async () => {
    const { clock, things, source, rows } = behind({
      maxPending: 2,
      whenFull: 'wait',
      fullWait: '5s',
    });
    source.isDown = true;
    await things.set('a', 1);
    await things.set('x', 1);
    const late = codeOf(things.set('b', 0));
    await clock.advance(5000);
    expect(await late).toBe('CACHE_WRITE_BEHIND_FULL');
    const second = things.set('b', 1);
    const third = things.set('b', 2);
    source.isDown = false;
    for (let step = 0; step < 40; step += 1) await clock.advance(500);
    await Promise.all([second, third]);
    expect([...rows].sort()).toEqual([
      ['a', 1],
      ['b', 2],
      ['x', 1],
    ]);
  });

  it('is refused while the buffer is full by bytes, and one that could never fit for good', async () => {
    const { clock, things, rows, source } = behind({ maxPendingBytes: 4096, interval: '1s' });
    await things.set('a', text(3000));
    const refused = await errorOf(things.set('b', text(2000)));
    expect(refused).toMatchObject({
      code: 'CACHE_WRITE_BEHIND_FULL',
      details: { backlog: 1, maxPendingBytes: 4096 },
    });
    await things.set('c', text(500));
    // The place of an older write is taken with its bytes, and no more than there is room for.
    await things.set('a', text(2900));
    expect(await codeOf(things.set('a', text(3900)))).toBe('CACHE_WRITE_BEHIND_FULL');
    expect(await errorOf(things.set('d', text(5000)))).toMatchObject({
      code: 'CACHE_VALUE_INVALID',
      details: { maxPendingBytes: 4096 },
    });
    source.isDown = true;
    await clock.advance(1500);
    expect(await codeOf(things.set('b', text(2000)))).toBe('CACHE_WRITE_BEHIND_FULL');
    source.isDown = false;
    await flushed(things, clock);
    await things.set('b', text(4000));
    await flushed(things, clock);
    expect([...rows].map(([key, value]) => [key, String(value).length])).toEqual([
      ['a', 2900],
      ['c', 500],
      ['b', 4000],
    ]);
  });

  it('waits for bytes in order: nobody passes one who needs many, and one who gives up holds nobody up', async () => {
    const { clock, things, rows, source } = behind({
      maxPendingBytes: 4096,
      whenFull: 'wait',
      fullWait: '5s',
    });
    source.isDown = true;
    await things.set('a', text(2000));
    const giveUp = new AbortController();
    const large = codeOf(things.set('large', text(3000), { signal: giveUp.signal }));
    let isIn = false;
    const small = things.set('small', text(500)).then(() => {
      isIn = true;
    });
    // What waits is bounded by bytes, too.
    expect(await codeOf(things.set('more', text(1000)))).toBe('CACHE_WRITE_BEHIND_FULL');
    await clock.advance(1000);
    expect(isIn).toBe(false);
    giveUp.abort();
    expect(await large).toBe('ABORTED');
    await small;
    const late = codeOf(things.set('late', text(3000)));
    await clock.advance(1000);
    const behindIt = things.set('behind it', text(500));
    await clock.advance(4000);
    expect(await late).toBe('CACHE_WRITE_BEHIND_FULL');
    await behindIt;
    source.isDown = false;
    const last = things.set('last', text(3500));
    for (let step = 0; step < 80; step += 1) await clock.advance(500);
    await last;
    expect([...rows.keys()].sort()).toEqual(['a', 'behind it', 'last', 'small']);
    expect(things.stats().behindUnwritten).toBe(0);
  });

  it('ends with the cache: written by its deadline, or in the report', async () => {
    const well = behind({ interval: '1h' });
    await well.things.set('a', 1);
    expect(await well.cache.close()).toMatchObject({ written: 1, unwritten: [] });
    expect(well.rows.get('a')).toBe(1);

    const ill = behind();
    ill.source.isDown = true;
    await ill.things.set('a', 1);
    const closing = ill.cache.close({ deadline: '2s' });
    expect(await codeOf(ill.things.set('b', 1))).toBe('CLOSED');
    await ill.clock.advance(3000);
    expect(await closing).toMatchObject({ unwritten: [{ key: 'a', value: 1, state: 'waiting' }] });
    expect(ill.unwritten.length).toBe(1);
    expect(ill.clock.pending).toBe(0);

    const stuck = behind({ storeMany: () => new Promise<void>(() => {}) }, { loadTimeout: '1m' });
    await stuck.things.set('a', 1);
    await stuck.clock.advance(60);
    const ending = stuck.cache.close({ deadline: '1s' });
    await stuck.clock.advance(1000);
    expect((await ending).unwritten).toMatchObject([{ key: 'a', state: 'under way' }]);
    await stuck.clock.advance(300_000);
    expect(stuck.unwritten.length).toBe(1);
  });

  it('is refused if it cannot be kept, or within a transaction that it could not be part of', async () => {
    const { cache, things } = behind();
    expect(await codeOf(things.set('a', undefined))).toBe('CACHE_VALUE_INVALID');
    expect(await codeOf(cache.afterCommit(() => things.set('a', 1)))).toBe(
      'CACHE_WRITE_IN_TRANSACTION',
    );
  });
});

describe('its options', () => {
  it('are faults where they contradict each other', () => {
    const cache = createCache({});
    const faults = (options: Partial<NamespaceOptions<unknown>>) => {
      try {
        cache.namespace('faulty', { ttl: '1s', ...options });
        return [];
      } catch (error) {
        if (!isShardlineError(error)) throw error;
        return (error.details['faults'] as { path: string }[]).map(({ path }) => path);
      }
    };
    expect(faults({ write: 'behind' })).toEqual(['writeBehind']);
    expect(faults({ write: 'behind', writeBehind: { onUnwritten: () => {} } })).toEqual(['store']);
    expect(faults({ writeBehind: { onUnwritten: () => {} } })).toEqual(['writeBehind']);
  });
});

describe('other processes', () => {
  it('read what the source says until it has taken the write, then the write', async () => {
    const redis = await startRedis({});
    const rows = new Map([['a', 'old']]);
    const options = {
      ttl: '1h',
      tiers: ['l2'],
      coherence: 'strict',
      load: async (key: string) => rows.get(key),
      store: async (key: string, value: string) => void rows.set(key, value),
      write: 'behind',
      writeBehind: { onUnwritten: () => {}, interval: '1h' },
    } as const;
    const caches = [createCache({ redis: redis.url }), createCache({ redis: redis.url })] as const;
    try {
      await Promise.all(caches.map((cache) => cache.ready()));
      const [here, there] = caches.map((cache) => cache.namespace<string>('things', options));
      expect([await here?.get('a'), await there?.get('a')]).toEqual(['old', 'old']);
      await here?.set('a', 'new');
      expect([await here?.get('a'), await there?.get('a')]).toEqual(['new', 'old']);
      await here?.flush();
      expect([await here?.get('a'), await there?.get('a')]).toEqual(['new', 'new']);
      expect(there?.stats().loads).toBe(0);
    } finally {
      for (const cache of caches) await cache.close();
      await redis.stop();
    }
  });
});
