import { createCache as createDedupe } from 'async-cache-dedupe';
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { createCache as createCacheManager } from 'cache-manager';
import { Cacheable } from 'cacheable';
import { LRUCache } from 'lru-cache';
import { compare } from '../../measure/compare.js';
import { awaitedOverKeys, overKeys } from '../../measure/key-loop.js';
import { atMost, timeRow } from '../../measure/rows.js';
import type { Row, Scenario, ScenarioContext } from '../../scenario.js';
import { drawnKeys, zipfSampler } from '../../workload/popularity.js';
import { type Profile, profileOf } from '../../workload/profiles.js';
import { seededRandom } from '../../workload/random.js';
import { openMemoryCache } from './rig.js';

/** Keys that a process holds, all of them: what is timed are hits. */
const KEYS = 8192;
/** Requests drawn ahead, more than the processor's caches hold. */
const DRAWS = 1 << 16;
const TTL_MS = 3_600_000;

/** What a hit in the process's own memory costs: most lookups of a warm service. */
export const l1Hit: Scenario = {
  suite: 'cache',
  name: 'l1-hit',
  situation:
    'A warm API process that finds nine of ten profiles in its own memory: 8192 profiles of 230 B (the median object of ' +
    "Twitter's cache clusters), asked for by Zipf 0.99 (YCSB's default), read synchronously and with an await.",
  async run(context) {
    const profiles = Array.from({ length: KEYS }, (_, id) => profileOf(id));
    const draw = zipfSampler(KEYS, 0.99, seededRandom(1));
    const keys = drawnKeys(DRAWS, draw, keyOf);
    return [
      ...(await measurePeek(context, profiles, keys)),
      ...(await measureGet(context, profiles, keys)),
    ];
  },
};

const keyOf = (id: number) => `profile:${id}`;

async function measurePeek(
  { use, quick, signal, note }: ScenarioContext,
  profiles: readonly Profile[],
  keys: readonly string[],
): Promise<Row[]> {
  note('peek beside lru-cache');
  const ours = await openMemoryCache(use, profiles, keyOf);
  const plain = new LRUCache<string, Profile>({ max: KEYS });
  const aged = new LRUCache<string, Profile>({ max: KEYS, ttl: TTL_MS });
  for (const profile of profiles) {
    plain.set(keyOf(profile.id), profile);
    aged.set(keyOf(profile.id), profile);
  }
  for (const { id } of profiles) {
    const key = keyOf(id);
    const seen = [ours.peek(key), plain.get(key), aged.get(key)];
    if (seen.some((profile) => profile?.id !== id)) throw new Error(`${key} was not found by all`);
  }
  const comparison = await compare(
    [
      overKeys('peek', keys, (key) => (ours.peek(key) as Profile).level),
      overKeys('lru-cache get', keys, (key) => (plain.get(key) as Profile).level),
      overKeys('lru-cache get, with a ttl', keys, (key) => (aged.get(key) as Profile).level),
    ],
    { rounds: quick ? 31 : 101, turnMs: 10, clock: 'cpu', signal },
  );
  const row = (peer: string, answers?: 'cache/l1-peek') =>
    timeRow(comparison, {
      suite: 'cache',
      name: 'L1 hit, synchronous peek',
      contender: 'peek',
      answers,
      peer,
      target: atMost(2),
    });
  // The peer of the target knows no age; the one that does is the nearer in what it promises.
  return [row('lru-cache get', 'cache/l1-peek'), row('lru-cache get, with a ttl')];
}

async function measureGet(
  { use, quick, signal, note }: ScenarioContext,
  profiles: readonly Profile[],
  keys: readonly string[],
): Promise<Row[]> {
  note('awaited get beside four libraries');
  const ours = await openMemoryCache(use, profiles, keyOf);
  const getters = new Map<string, (key: string) => Promise<unknown>>([
    ['get', (key) => ours.get(key)],
    ['cache-manager get', await openCacheManager(profiles)],
    ['async-cache-dedupe', openDedupe()],
    ['bentocache get', await openBento(profiles)],
    ['cacheable get', await openCacheable(profiles)],
  ]);
  for (const [name, get] of getters) {
    for (const { id } of profiles) {
      if (((await get(keyOf(id))) as Profile | undefined)?.id !== id) {
        throw new Error(`${name} did not find ${keyOf(id)}`);
      }
    }
  }
  const contenders = [...getters].map(([name, get]) => awaitedOverKeys(name, keys, get));
  const comparison = await compare(contenders, {
    rounds: quick ? 15 : 51,
    turnMs: 20,
    clock: 'cpu',
    signal,
  });
  const peers = [...getters.keys()].slice(1);
  const timeOf = (name: string) =>
    comparison.figures.get(name)?.nanosecondsPerOperation ?? Number.POSITIVE_INFINITY;
  const fastest = peers.reduce((best, peer) => (timeOf(peer) < timeOf(best) ? peer : best));
  return peers.map((peer) =>
    timeRow(comparison, {
      suite: 'cache',
      name: 'L1 hit, awaited get',
      contender: 'get',
      answers: peer === fastest ? 'cache/l1-get' : undefined,
      peer,
      target: atMost(0.4),
    }),
  );
}

async function openCacheManager(profiles: readonly Profile[]) {
  const cache = createCacheManager({ ttl: TTL_MS });
  for (const profile of profiles) await cache.set(keyOf(profile.id), profile);
  return (key: string) => cache.get(key);
}

function openDedupe() {
  const cache = createDedupe({
    ttl: TTL_MS / 1000,
    storage: { type: 'memory', options: { size: 2 * KEYS } },
  }).define('profile', async (key: string) => profileOf(Number(key.slice('profile:'.length))));
  return (key: string): Promise<unknown> => cache.profile(key);
}

async function openBento(profiles: readonly Profile[]) {
  const bento = new BentoCache({
    default: 'memory',
    stores: {
      memory: bentostore().useL1Layer(memoryDriver({ maxItems: 2 * KEYS, serialize: false })),
    },
  });
  for (const profile of profiles) {
    await bento.set({ key: keyOf(profile.id), value: profile, ttl: TTL_MS });
  }
  return (key: string) => bento.get({ key });
}

async function openCacheable(profiles: readonly Profile[]) {
  const cache = new Cacheable({ ttl: TTL_MS });
  for (const profile of profiles) await cache.set(keyOf(profile.id), profile);
  return (key: string) => cache.get(key);
}
