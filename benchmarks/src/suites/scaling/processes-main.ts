import { createCache } from '@shardline/cache';
import { createLimiter } from '@shardline/ratelimit';
import { serveOrders } from '../../measure/forked-workers.js';
import { profileOf } from '../../workload/profiles.js';
import { PATIENT } from '../cache/patience.js';
import { ratePerSecond } from './rate.js';

/** One of the processes of a fleet; see processes.ts. */
export interface ProcessOrder {
  readonly kind: 'checks of limits' | 'L2 hits' | 'L1 hits';
  readonly spanMs: number;
}

export interface ProcessAnswer {
  readonly perSecond: number;
}

const USERS = 4096;
const redis = process.argv[2] as string;
const limiter = createLimiter({
  redis,
  policies: { api: { limit: 1_000_000, window: '1s' } },
  timeout: PATIENT,
});
const cache = createCache({ redis, l2Timeout: PATIENT });
const load = (key: string) => profileOf(Number(key));
const shared = cache.namespace('shared', { ttl: '1h', tiers: ['l2'], load });
const own = cache.namespace('own', { ttl: '1h', tiers: ['l1'], load });

const users = Array.from({ length: USERS }, (_, id) => String(id));
let turn = 0;
const next = () => users[turn++ % USERS] as string;
const kinds: Record<ProcessOrder['kind'], () => Promise<unknown>> = {
  'checks of limits': () => limiter.check(next()),
  'L2 hits': () => shared.get(next()),
  'L1 hits': () => own.get(next()),
};

await Promise.all([limiter.ready({ deadline: '20s' }), cache.ready({ deadline: '20s' })]);
await Promise.all([shared.getMany(users), own.getMany(users)]);
serveOrders<ProcessOrder, ProcessAnswer>(async ({ kind, spanMs }) => ({
  perSecond: await ratePerSecond(kinds[kind], {
    callers: 64,
    spanMs,
    signal: new AbortController().signal,
  }),
}));
