import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BalancedNode, Balancer, type BalancingPolicy } from './balancer.js';

/** mulberry32: small, seeded, good enough to draw lots. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const SEED = 20_261_120;
const names = ['a', 'b', 'c'];

function balancer(
  policy: BalancingPolicy,
  nodes: BalancedNode[] = names.map((name) => ({ name })),
  zone?: string,
) {
  return new Balancer({ policy, nodes, zone, random: seeded(SEED) });
}

function count(picks: readonly (string | undefined)[]): Record<string, number> {
  const counts: Record<string, number> = { a: 0, b: 0, c: 0 };
  for (const pick of picks) counts[pick ?? 'none'] = (counts[pick ?? 'none'] ?? 0) + 1;
  return counts;
}

/** Statements one after another, each server answering in its own time. */
function serve(b: Balancer, latencies: Record<string, number>, rounds: number) {
  let nowMs = 0;
  const picks: (string | undefined)[] = [];
  for (let i = 0; i < rounds; i += 1) {
    const name = b.pick(names, nowMs) as string;
    b.started(name, nowMs);
    nowMs += 1;
    b.finished(name, latencies[name] ?? 1, false, nowMs);
    picks.push(name);
  }
  return count(picks);
}

describe('every policy', () => {
  test('picks one of those named, or nobody of nobody', () => {
    const policies = fc.constantFrom<BalancingPolicy>(
      'p2c-ewma',
      'least-connections',
      'round-robin',
    );
    const event = fc.tuple(
      fc.constantFrom(...names),
      fc.integer({ min: 0, max: 5000 }),
      fc.boolean(),
    );
    fc.assert(
      fc.property(policies, fc.subarray(names), fc.array(event), (policy, named, events) => {
        const b = balancer(policy);
        let nowMs = 0;
        for (const [name, latencyMs, hasFailed] of events) {
          b.started(name, nowMs);
          nowMs += 7;
          if (latencyMs % 3 > 0) b.finished(name, latencyMs, hasFailed, nowMs);
          const pick = b.pick(named, nowMs);
          expect(named.length === 0 ? pick === undefined : named.includes(pick as string)).toBe(
            true,
          );
        }
      }),
    );
  });

  test('prefers its own zone while there is somebody there', () => {
    const nodes = [
      { name: 'a', zone: 'x' },
      { name: 'b', zone: 'y' },
      { name: 'c', zone: 'y' },
    ];
    for (const policy of ['p2c-ewma', 'least-connections', 'round-robin'] as const) {
      const b = balancer(policy, nodes, 'x');
      expect(count(Array.from({ length: 20 }, () => b.pick(names, 0)))).toMatchObject({ a: 20 });
      expect(['b', 'c']).toContain(b.pick(['b', 'c'], 0));
    }
  });
});

describe('p2c-ewma', () => {
  test('sends a server ten times slower next to nothing', () => {
    const counts = serve(balancer('p2c-ewma'), { a: 1, b: 1, c: 10 }, 3000);
    expect(counts['c']).toBeLessThan(30);
    expect(counts['a']).toBeGreaterThan(1000);
    expect(counts['b']).toBeGreaterThan(1000);
  });

  test('is not drawn to a server that fails fast', () => {
    const b = balancer('p2c-ewma');
    let nowMs = 0;
    const picks = [];
    for (let i = 0; i < 1000; i += 1) {
      const name = b.pick(names, nowMs) as string;
      picks.push(name);
      b.started(name, nowMs);
      nowMs += 1;
      b.finished(name, name === 'c' ? 0.01 : 5, name === 'c', nowMs);
    }
    expect(count(picks)['c']).toBeLessThan(20);
  });

  test('avoids a server that does not answer at all', () => {
    const b = balancer('p2c-ewma');
    let nowMs = 0;
    const picks = [];
    for (let i = 0; i < 600; i += 1) {
      const name = b.pick(names, nowMs) as string;
      picks.push(name);
      b.started(name, nowMs);
      nowMs += 1;
      if (name !== 'c') b.finished(name, 1, false, nowMs);
    }
    expect(count(picks)['c']).toBeLessThan(5);
  });

  test('looks again at a slow server after some time', () => {
    const b = balancer('p2c-ewma');
    b.finished('a', 1, false, 0);
    b.finished('b', 1, false, 0);
    b.finished('c', 500, false, 0);
    const picksAt = (nowMs: number) => {
      b.finished('a', 1, false, nowMs);
      b.finished('b', 1, false, nowMs);
      return count(Array.from({ length: 300 }, () => b.pick(names, nowMs)));
    };
    expect(picksAt(1000)['c']).toBe(0);
    expect(picksAt(100_000)['c']).toBeGreaterThan(0);
  });

  test('looks again by one statement, which nobody follows before it is answered', () => {
    const b = balancer('p2c-ewma');
    b.finished('c', 100, false, 0);
    // Nobody has asked for long: what was known of everybody has faded.
    let nowMs = 60_000;
    for (const name of ['a', 'b']) b.finished(name, 10, false, nowMs);
    const picks: string[] = [];
    for (let i = 0; i < 300; i += 1) {
      const name = b.pick(names, nowMs) as string;
      picks.push(name);
      b.started(name, nowMs);
      nowMs += 1;
      if (name !== 'c') b.finished(name, 10, false, nowMs);
    }
    expect(count(picks)['c']).toBe(1);
    // It never answers: now and then somebody looks all the same.
    nowMs += 60_000;
    for (const name of ['a', 'b']) b.finished(name, 10, false, nowMs);
    expect(count(Array.from({ length: 300 }, () => b.pick(names, nowMs)))['c']).toBeGreaterThan(0);
  });

  test('follows weights among equals', () => {
    const nodes = [{ name: 'a', weight: 4 }, { name: 'b' }, { name: 'c' }];
    const b = balancer('p2c-ewma', nodes);
    const inFlight: string[] = [];
    let nowMs = 0;
    const picks: string[] = [];
    for (let i = 0; i < 3000; i += 1) {
      const name = b.pick(names, nowMs) as string;
      b.started(name, nowMs);
      inFlight.push(name);
      picks.push(name);
      nowMs += 1;
      if (inFlight.length > 12) b.finished(inFlight.shift() as string, 5, false, nowMs);
    }
    const counts = count(picks);
    expect(counts['a']).toBeGreaterThan(1.8 * (counts['b'] as number));
  });
});

describe('least-connections', () => {
  test('breaks ties at random', () => {
    const b = balancer('least-connections');
    const counts = count(Array.from({ length: 3000 }, () => b.pick(names, 0)));
    for (const name of names) expect(counts[name]).toBeGreaterThan(850);
  });

  test('takes the one with the fewest under way', () => {
    const b = balancer('least-connections');
    b.started('a', 0);
    b.started('b', 0);
    expect(b.pick(names, 0)).toBe('c');
    b.abandoned('a');
    b.started('c', 0);
    expect(b.pick(names, 0)).toBe('a');
  });
});

describe('round-robin', () => {
  test('goes in turns, by weight', () => {
    const b = balancer('round-robin', [{ name: 'a', weight: 2 }, { name: 'b' }, { name: 'c' }]);
    const picks = Array.from({ length: 8 }, () => b.pick(names, 0));
    expect(count(picks)).toEqual({ a: 4, b: 2, c: 2 });
    expect(picks.join('')).not.toContain('aaa');
  });
});

/** As long as the first answer of the slow server takes. */
const AFTER_REST_MS = 90;

interface Loop {
  readonly latencies: Readonly<Record<string, number>>;
  readonly callers: number;
  /** Of the simulated clock. */
  readonly lastsMs: number;
  /** Every so often nobody asks for half a minute. @default never */
  readonly restEveryMs?: number;
}

/**
 * Callers that ask again as soon as they are answered, over servers of which `a` is ten times slower, on a machine that
 * stands still for a moment about once a second: whatever is due then comes late.
 */
function closedLoop(policy: BalancingPolicy, { latencies, callers, lastsMs, restEveryMs }: Loop) {
  const b = balancer(policy);
  const random = seeded(SEED + 1);
  const stalls: { from: number; to: number }[] = [];
  for (let at = 0; at < lastsMs; ) {
    at += -Math.log(random()) * 1000;
    stalls.push({ from: at, to: at + 10 + random() * 60 });
  }
  const stalled = (at: number) => stalls.find(({ from, to }) => at >= from && at < to)?.to ?? at;
  let rests = 0;
  let slowAfterRests = 0;
  let watchedUntilMs = 0;
  const underWay: { name: string; sentMs: number; dueMs: number }[] = [];
  const send = (nowMs: number) => {
    const name = b.pick(names, nowMs) as string;
    b.started(name, nowMs);
    if (name === 'a' && nowMs < watchedUntilMs) slowAfterRests += 1;
    const takesMs = (latencies[name] as number) * (0.9 + random() * 0.3);
    underWay.push({ name, sentMs: nowMs, dueMs: stalled(nowMs + takesMs) });
  };
  for (let caller = 0; caller < callers; caller += 1) send(0);
  const answers: string[] = [];
  let restsAtMs = restEveryMs ?? Number.POSITIVE_INFINITY;
  for (let nowMs = 0; nowMs < lastsMs; ) {
    if (nowMs >= restsAtMs) {
      // Everybody is answered, and comes back together.
      for (const { name, sentMs, dueMs } of underWay.splice(0)) {
        b.finished(name, dueMs - sentMs, false, dueMs);
        nowMs = Math.max(nowMs, dueMs);
      }
      nowMs += 30_000;
      restsAtMs = nowMs + (restEveryMs as number);
      rests += 1;
      watchedUntilMs = nowMs + AFTER_REST_MS;
      for (let caller = 0; caller < callers; caller += 1) send(nowMs);
    }
    underWay.sort((x, y) => y.dueMs - x.dueMs);
    const { name, sentMs, dueMs } = underWay.pop() as (typeof underWay)[number];
    nowMs = dueMs;
    b.finished(name, nowMs - sentMs, false, nowMs);
    answers.push(name);
    send(nowMs);
  }
  const slow = answers.filter((name) => name === 'a').length;
  return { slowShare: slow / answers.length, rests, slowAfterRests };
}

describe('a slow server among fast ones, on a machine that hiccups', () => {
  test.each([
    [4, 40, 6],
    [4, 40, 16],
    [1, 10, 6],
    [10, 100, 6],
  ])(
    '%i ms, one of %i ms, %i callers: it is left out of the slowest per cent',
    (fast, slow, callers) => {
      const loop = { latencies: { a: slow, b: fast, c: fast }, callers, lastsMs: 20_000 };
      const ours = closedLoop('p2c-ewma', loop);
      const inTurns = closedLoop('round-robin', loop);
      expect(inTurns.slowShare).toBeGreaterThan(0.1);
      expect(ours.slowShare).toBeLessThan(0.008);
    },
  );

  test.each([6, 12])(
    'of %i callers that come back from a rest no more than one goes to see how it does',
    (callers) => {
      const latencies = { a: 100, b: 10, c: 10 };
      const { slowShare, rests, slowAfterRests } = closedLoop('p2c-ewma', {
        latencies,
        callers,
        lastsMs: 300_000,
        restEveryMs: 5000,
      });
      expect(rests).toBeGreaterThan(4);
      expect(slowAfterRests / rests).toBeLessThan(1.5);
      expect(slowShare).toBeLessThan(0.008);
    },
  );
});
