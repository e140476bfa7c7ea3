import { randomBytes } from 'node:crypto';
import { Breaker, type Clock, configurationError, systemClock } from '@shardline/core';
import { openRedis, type RedisConnection } from '@shardline/core/redis';
import { DenialCache } from '../denial-cache.js';
import { InstanceCount } from '../fallback/instance-count.js';
import { LocalFallback } from '../fallback/local-fallback.js';
import { MemoryStore } from '../store/memory-store.js';
import { RedisStore } from '../store/redis-store.js';
import type { Scripts } from '../store/scripts.js';
import { TopDenied } from '../top-denied.js';
import type { LimiterCore } from './limiter-core.js';
import type { ResolvedLimiterOptions } from './limiter-options.js';

/** Subjects remembered for `topDenied`. */
const TOP_PLACES = 256;
const FALLBACK_KEYS = 100_000;

/** What a limiter holds open. */
export interface LimiterResources {
  readonly core: LimiterCore;
  readonly connection: RedisConnection | undefined;
  readonly instances: InstanceCount | undefined;
}

/** Opens what the options ask for. */
export function openResources(
  options: ResolvedLimiterOptions,
  scripts: Scripts | undefined,
): LimiterResources {
  const clock = options.clock ?? systemClock;
  const { memory, redis } = options;
  if (memory !== undefined) return memoryResources(memory.maxKeys, clock);
  const connection = openRedis(redis as NonNullable<typeof redis>, {
    name: 'shardline:ratelimit',
    // Without a timeout per command: the store has its own for everything that it asks. A second one would
    // cut a longer `timeout` short, and its timer is a tenth of what a lone check takes in this process.
    purpose: 'blocking',
  });
  return redisResources(options, connection, clock, scripts);
}

function memoryResources(maxKeys: number, clock: Clock): LimiterResources {
  const core = {
    store: new MemoryStore({ clock, maxKeys }),
    clock,
    breaker: undefined,
    onRedisDown: 'local' as const,
    fallback: undefined,
    denialCache: undefined,
    topDenied: new TopDenied(TOP_PLACES),
  };
  return { core, connection: undefined, instances: undefined };
}

function redisResources(
  options: ResolvedLimiterOptions,
  connection: RedisConnection,
  clock: Clock,
  scripts: Scripts | undefined,
): LimiterResources {
  const { waitForReplicas, denialCache } = options;
  if (waitForReplicas !== undefined && connection.isCluster) {
    void connection.close();
    throw configurationError('the limiter', [
      {
        path: 'waitForReplicas',
        message: 'cannot be used on a Cluster, where it would ask the wrong node',
      },
    ]);
  }
  const breaker = new Breaker({
    clock,
    consecutiveFailures: options.breaker.consecutiveFailures,
    openMs: options.breaker.pause,
    probeTimeoutMs: Math.max(1000, options.timeout * 2),
  });
  const store = new RedisStore({
    connection,
    timeoutMs: options.timeout,
    maxPending: options.maxPending,
    breaker,
    waitForReplicas:
      waitForReplicas === undefined
        ? undefined
        : { count: waitForReplicas.count, timeoutMs: waitForReplicas.timeout },
    clock,
    ...(scripts === undefined ? {} : { scripts }),
  });
  const instances =
    options.onRedisDown === 'local' ? countInstances(options, store, clock) : undefined;
  const core = {
    store,
    clock,
    breaker,
    onRedisDown: options.onRedisDown,
    fallback:
      instances === undefined
        ? undefined
        : new LocalFallback({ clock, maxKeys: FALLBACK_KEYS, liveInstances: () => instances.live }),
    denialCache:
      denialCache === undefined
        ? undefined
        : new DenialCache({ clock, maxEntries: denialCache.maxKeys, maxAgeMs: denialCache.maxAge }),
    topDenied: new TopDenied(TOP_PLACES),
  };
  return { core, connection, instances };
}

function countInstances(options: ResolvedLimiterOptions, store: RedisStore, clock: Clock) {
  return new InstanceCount({
    registry: store,
    clock,
    key: `${options.prefix}instances`,
    id: randomBytes(9).toString('base64url'),
    heartbeatMs: options.instances.heartbeat,
    expected: options.instances.expected,
  });
}
