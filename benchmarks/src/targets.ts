import type { Suite } from './scenario.js';

/** What was set out to be reached, one per line of the results; scenarios say which they answer. */
export interface TargetLine {
  readonly id: string;
  readonly suite: Suite;
  readonly work: string;
  readonly peer: string;
  readonly target: string;
}

function line<const Id extends string>(
  id: Id,
  work: string,
  peer: string,
  target: string,
): TargetLine & { readonly id: Id } {
  return { id, suite: id.slice(0, id.indexOf('/')) as Suite, work, peer, target };
}

/** In the order in which the results are read. */
export const targetLines = [
  line(
    'route/text',
    'text key to shard, murmur3, 8 shards',
    'bare murmurhash3js x86 hash32; hashring',
    '<= 1.0 x the bare call; >= 40 x hashring',
  ),
  line(
    'route/postgres-hash',
    'bigint, text and uuid key to shard, postgres hash',
    'bare murmurhash3js x86 hash32',
    '<= 1.5 x the bare call',
  ),
  line('route/many-shards', 'lookup with 8, 64, 1024 shards', 'itself at 8', '<= 1.2 x at 1024'),
  line(
    'placement/balance',
    'peak over average load, 3 to 64 shards, weights 1 to 5; slots moved',
    'perfect balance; the least that must move',
    '<= 1.005; exactly the least',
  ),
  line('cache/l1-peek', 'L1 hit, synchronous peek', 'lru-cache get', '<= 2 x'),
  line(
    'cache/l1-get',
    'L1 hit, awaited get',
    'the fastest of cache-manager, async-cache-dedupe, bentocache, cacheable',
    '<= 0.4 x',
  ),
  line(
    'cache/l2-hit',
    'L2 hit, 64 callers',
    'ioredis GET with auto-pipelining; bentocache',
    '>= 0.85 x ioredis; >= 3.5 x bentocache',
  ),
  line(
    'cache/cold-key',
    '10 000 callers on one cold key, 8 processes',
    'one load in all',
    'exactly 1 load',
  ),
  line(
    'cache/hit-rate',
    'hit rate, Zipf 0.8 and 1.0, cache 1 % and 10 % of keys',
    'plain LRU',
    '>= +5 points at 1 %',
  ),
  line(
    'ratelimit/checks',
    'check, 1, 64 and 512 callers, one process',
    'rate-limiter-flexible on ioredis',
    '>= 1.0 x, 1.3 x, 1.4 x',
  ),
  line('ratelimit/redis-cpu', 'Redis CPU per check, packed', 'rate-limiter-flexible', '<= 1.0 x'),
  line('ratelimit/leased', 'leased check', '5 million a second', '>= 1 x, over-admission 0'),
  line('ratelimit/memory', 'memory per key', 'one string of level and time', '<= 1.1 x'),
  line(
    'pool/point-read',
    'routed point read, prepared, 32 callers',
    'pg.Pool',
    '>= 1.7 x with pipelining; >= 0.95 x without',
  ),
  line('pool/added-cpu', 'CPU per routed query, classifier hit', 'pg.Pool', '<= 1.05 x'),
  line(
    'pool/spike',
    'spike of 50 queries on 5 idle connections, connecting takes 150 ms',
    'pg.Pool',
    '<= 0.5 x, and no dial that is not needed',
  ),
  line('pool/slow-replica', 'p99, one replica of three 10 x slower', 'round robin', '<= 0.2 x'),
  line(
    'pool/session-reads',
    'session reads needing an extra round trip, replicas 5 ms behind',
    'all of them',
    '<= 5 %',
  ),
  line(
    'pool/failover',
    'no acknowledged write after a failover, less the promotion',
    'a limit of 250 ms',
    '<= 1 x',
  ),
  line(
    'scatter/ordered-page',
    '8 shards, order by + limit 100',
    'slowest single shard',
    '<= 1.15 x',
  ),
  line(
    'rebalance/copy',
    'copy throughput',
    'COPY ... binary piped between the servers',
    '>= 0.85 x',
  ),
  line(
    'rebalance/pause',
    'pause seen by clients at 15 k writes/s',
    'limits of 60 ms (p95) and 250 ms (longest)',
    '<= 1 x',
  ),
  line(
    'rebalance/failures',
    'queries failed during add, remove, reweight under load',
    'none',
    'exactly 0',
  ),
  line(
    'rebalance/throughput',
    'throughput of the service while slots move',
    'the same service at rest',
    '>= 0.8 x',
  ),
  line(
    'layer/entity-get',
    'entity get, Zipf 0.99, 90 % reads, through L1, L2, L3, replicas',
    'the same service on bentocache + pg.Pool',
    '>= 3 x requests/s, p95 <= 0.5 x, hit rate >= 88 %',
  ),
] as const;

/** Which line of the targets a row answers. */
export type TargetId = (typeof targetLines)[number]['id'];
