import { createCache } from '@shardline/cache';
import { LRUCache } from 'lru-cache';
import { atLeast, countedRow } from '../../measure/rows.js';
import type { Row, Scenario } from '../../scenario.js';
import { zipfSampler } from '../../workload/popularity.js';
import { seededRandom } from '../../workload/random.js';

const KEYS = 50_000;
const EXPONENTS = [0.8, 1] as const;
/** Shares of the keys that fit into memory, and how many points more than plain LRU are wanted there. */
const SHARES = [
  { share: 0.01, wantedPoints: 5 },
  { share: 0.1, wantedPoints: 0 },
] as const;

/** How much of what is asked for is in memory, with the same room: a question of who may stay. */
export const hitRate: Scenario = {
  suite: 'cache',
  name: 'hit-rate',
  situation:
    '50 000 users of whom a process can hold one in a hundred, or one in ten, asked for by Zipf 0.8 and 1.0 (flatter than ' +
    "most of Twitter's cache clusters, which is the harder case). Counted, so no machine's speed is in it.",
  async run({ quick, signal, note }) {
    const requests = quick ? 200_000 : 1_000_000;
    const rows: Row[] = [];
    for (const exponent of EXPONENTS) {
      for (const { share, wantedPoints } of SHARES) {
        signal.throwIfAborted();
        note(`Zipf ${exponent}, room for ${100 * share} % of the keys`);
        const draws = drawsOf(requests, exponent);
        const room = KEYS * share;
        const ours = await hitPercentOfOurs(draws, room);
        const lru = hitPercentOfLru(draws, room);
        rows.push(
          countedRow({
            suite: 'cache',
            name: `hit rate, Zipf ${exponent}, room for ${100 * share} % of the keys`,
            answers: 'cache/hit-rate',
            peer: wantedPoints === 0 ? 'plain LRU' : `plain LRU and ${wantedPoints} points`,
            unit: '%',
            ours,
            theirs: lru + wantedPoints,
            target: atLeast(1),
            details: { 'plain LRU, %': lru, 'points more': ours - lru },
          }),
        );
      }
    }
    return rows;
  },
};

function drawsOf(requests: number, exponent: number): readonly string[] {
  const draw = zipfSampler(KEYS, exponent, seededRandom(7));
  return Array.from({ length: requests }, () => `user:${draw()}`);
}

async function hitPercentOfOurs(draws: readonly string[], room: number): Promise<number> {
  await using cache = createCache({});
  const users = cache.namespace<string>('users', {
    ttl: '1d',
    l1: { maxEntries: room },
    load: (key) => key,
  });
  for (const key of draws) {
    if ((await users.get(key)) !== key) throw new Error(`${key} was given another's value`);
  }
  const { l1Hits, loads } = users.stats();
  if (l1Hits + loads !== draws.length) throw new Error('hits and loads are not all of the reads');
  return (100 * l1Hits) / draws.length;
}

function hitPercentOfLru(draws: readonly string[], room: number): number {
  const cache = new LRUCache<string, string>({ max: room });
  let hits = 0;
  for (const key of draws) {
    if (cache.get(key) === key) hits += 1;
    else cache.set(key, key);
  }
  return (100 * hits) / draws.length;
}
