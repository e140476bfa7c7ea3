import { setTimeout as sleep } from 'node:timers/promises';
import { createCache } from '@shardline/cache';
import { createCache as createDedupe } from 'async-cache-dedupe';
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { redisDriver } from 'bentocache/drivers/redis';
import { Redis } from 'ioredis';
import { serveOrders } from '../../measure/forked-workers.js';
import { PATIENT } from './patience.js';

/** One of the processes of a fleet; see cold-key.ts. */
export type Library = 'shardline' | 'bentocache' | 'async-cache-dedupe';

/** So many callers ask for this key, all of them in one turn of the event loop. */
export interface ColdKeyOrder {
  readonly library: Library;
  readonly key: string;
  readonly callers: number;
  readonly loadMs: number;
}

export interface ColdKeyAnswer {
  /** Callers that were given the value. */
  readonly right: number;
  readonly slowestMs: number;
}

const url = process.argv[2] as string;
const counter = new Redis(url);
let loadMs = 0;

const load = async (key: string) => {
  await counter.incr(`loads:${key}`);
  await sleep(loadMs);
  return { board: key };
};

const cache = createCache({ redis: url, l2Timeout: PATIENT });
const ours = cache.namespace<{ board: string }>('boards', {
  ttl: '1h',
  leaseWait: '30s',
  load,
});
const bento = new BentoCache({
  default: 'both',
  stores: {
    both: bentostore()
      .useL1Layer(memoryDriver({ maxItems: 10_000 }))
      .useL2Layer(redisDriver({ connection: new Redis(url) })),
  },
});
const dedupe = createDedupe({
  ttl: 3600,
  storage: { type: 'redis', options: { client: new Redis(url) } },
}).define('board', load);

const getters: Record<Library, (key: string) => Promise<unknown>> = {
  shardline: (key) => ours.get(key),
  bentocache: (key) => bento.getOrSet({ key, ttl: '1h', factory: () => load(key) }),
  'async-cache-dedupe': (key) => dedupe.board(key),
};

await cache.ready({ deadline: '20s' });
serveOrders<ColdKeyOrder, ColdKeyAnswer>(async (order) => {
  loadMs = order.loadMs;
  const get = getters[order.library];
  let right = 0;
  let slowestMs = 0;
  const caller = async () => {
    const started = performance.now();
    const value = (await get(order.key)) as { board: string } | undefined;
    slowestMs = Math.max(slowestMs, performance.now() - started);
    if (value?.board === order.key) right += 1;
  };
  await Promise.all(Array.from({ length: order.callers }, caller));
  return { right, slowestMs };
});
