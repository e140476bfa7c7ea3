import { Breaker, type BreakerState, type Clock, configurationError } from '@shardline/core';
import {
  isRedisClient,
  openRedis,
  type RedisClient,
  type RedisConnection,
  type RedisPurpose,
  type RedisTarget,
} from '@shardline/core/redis';
import type { Bus } from './bus/bus.js';
import { StreamBus } from './bus/stream-bus.js';
import { TrackingBus } from './bus/tracking-bus.js';
import { Coherence } from './coherence.js';
import type { TierName } from './namespace-options.js';
import type { NamespaceRuntime } from './runtime.js';
import { GuardedTier } from './tiers/guarded-tier.js';
import { type MemcachedTarget, openMemcachedTier } from './tiers/memcached/open-memcached.js';
import { RedisTier } from './tiers/redis/redis-tier.js';
import type { SharedTier } from './tiers/tier.js';

/** Where the shared tiers of a cache, or of one partition of it, are. */
export interface PartitionOptions {
  /** L2 and the bus: a URL, Sentinel or Cluster options, or an ioredis client. */
  readonly redis?: RedisTarget | undefined;
  /** L3: `'10.0.0.1:11211,10.0.0.2:11211'`, or options. */
  readonly memcached?: MemcachedTarget | undefined;
  /** A tier of your own in place of Redis or Memcached; see `SharedTier`. */
  readonly l2?: SharedTier | undefined;
  readonly l3?: SharedTier | undefined;
  /**
   * How invalidations travel: on a Redis stream; by Redis's CLIENT TRACKING, which hears of foreign
   * writers, too (no Cluster); not at all; or by a bus of your own. @default 'stream'
   */
  readonly bus?: 'stream' | 'tracking' | 'none' | Bus | undefined;
}

/** What the cache settles for all its partitions. */
export interface PartitionSettings {
  readonly prefix: string;
  readonly l2TimeoutMs: number;
  readonly l3TimeoutMs: number;
  readonly trustAfterRestart: boolean;
  readonly clock: Clock;
  readonly onTransition: (tier: string, from: BreakerState, to: BreakerState) => void;
}

const MAX_REDIS_FRAME_BYTES = 512 * 1024 * 1024;

/** The shared tiers and the bus of some namespaces. */
export class Partition {
  readonly name: string;
  readonly l2: SharedTier | undefined;
  readonly l3: SharedTier | undefined;
  readonly bus: Bus | undefined;
  readonly coherence = new Coherence();
  readonly breakers = new Map<string, Breaker>();
  readonly runtimes = new Map<string, NamespaceRuntime>();
  readonly redis: RedisConnection | undefined;

  constructor(name: string, options: PartitionOptions, settings: PartitionSettings) {
    this.name = name;
    this.redis =
      options.redis === undefined
        ? undefined
        : openRedis(withTimeout(options.redis, settings), { name: `${settings.prefix}:cache` });
    this.l2 = this.#openL2(options, settings);
    this.l3 = this.#openL3(options, settings);
    this.bus = this.#openBus(options, settings);
    this.bus?.start({
      onMessage: (message) => this.runtimes.get(message.namespace)?.onMessage(message),
      onGap: () => {
        for (const runtime of this.runtimes.values()) runtime.forgetAll();
      },
      onHeardOut: (asOfMs) => this.coherence.heardOut(asOfMs),
    });
  }

  get tiers(): TierName[] {
    return ['l1', ...(this.l2 ? (['l2'] as const) : []), ...(this.l3 ? (['l3'] as const) : [])];
  }

  async close(): Promise<void> {
    // The bus first: it blocks on its own connection and publishes on the tier's.
    await this.bus?.close();
    await Promise.all([this.l2?.close(), this.l3?.close()]);
    await this.redis?.close();
  }

  #openL2(options: PartitionOptions, settings: PartitionSettings): SharedTier | undefined {
    if (options.l2 !== undefined) return this.#guard('l2', options.l2, settings);
    if (this.redis === undefined) return undefined;
    const tier = new RedisTier({
      connection: this.redis,
      timeoutMs: settings.l2TimeoutMs,
      maxFrameBytes: MAX_REDIS_FRAME_BYTES,
      trustAfterRestart: settings.trustAfterRestart,
      clock: settings.clock,
    });
    return this.#guard('l2', tier, settings);
  }

  #openL3(options: PartitionOptions, settings: PartitionSettings): SharedTier | undefined {
    if (options.l3 !== undefined) return this.#guard('l3', options.l3, settings);
    if (options.memcached === undefined) return undefined;
    return openMemcachedTier(options.memcached, {
      timeoutMs: settings.l3TimeoutMs,
      clock: settings.clock,
      guard: (node, tier) => this.#guard(`l3 ${node}`, tier, settings),
    });
  }

  #guard(name: string, tier: SharedTier, settings: PartitionSettings): SharedTier {
    const breaker = new Breaker({
      clock: settings.clock,
      openMs: 500,
      maxOpenMs: 5000,
      onTransition: (from, to) => settings.onTransition(name, from, to),
    });
    this.breakers.set(name, breaker);
    return new GuardedTier(tier, breaker);
  }

  #openBus(options: PartitionOptions, settings: PartitionSettings): Bus | undefined {
    const { bus = 'stream' } = options;
    if (typeof bus === 'object') return bus;
    if (bus === 'none' || options.redis === undefined || this.redis === undefined) return undefined;
    const common = {
      commands: this.redis,
      prefix: settings.prefix,
      timeoutMs: settings.l2TimeoutMs * 2,
      clock: settings.clock,
    };
    const open = (purpose: RedisPurpose) =>
      openOwn(options.redis as RedisTarget, settings, purpose);
    if (bus === 'stream') return new StreamBus({ ...common, blocking: open('blocking') });
    if (this.redis.isCluster) {
      const message =
        "'tracking' needs a single Redis or a Sentinel group; use 'stream' on a Cluster";
      throw configurationError('createCache', [{ path: 'bus', message }]);
    }
    return new TrackingBus({ ...common, tracked: open('blocking'), told: open('subscriber') });
  }
}

/** The connection's own limit for a command must not come before the tier's. */
function withTimeout(target: RedisTarget, { l2TimeoutMs }: PartitionSettings): RedisTarget {
  if (isRedisClient(target)) return target;
  const commandTimeout = `${l2TimeoutMs}ms` as const;
  if (typeof target === 'string') return { url: target, commandTimeout };
  return { commandTimeout, ...target };
}

/** A connection of the bus's own: its reads block, and nobody else may wait behind them. */
function openOwn(
  target: RedisTarget,
  { prefix }: PartitionSettings,
  purpose: RedisPurpose,
): RedisConnection {
  const options = { name: `${prefix}:cache:bus`, purpose };
  if (isRedisClient(target)) {
    // The two kinds of client take different arguments to this; none is what both understand.
    const { duplicate } = target as { duplicate: () => RedisClient };
    return new OwnedDuplicate(openRedis(duplicate.call(target), options));
  }
  return openRedis(target, options);
}

/** A duplicate of the user's client is ours to close, though openRedis takes it for the user's. */
class OwnedDuplicate implements RedisConnection {
  readonly isOwned = true;
  constructor(private readonly inner: RedisConnection) {}

  get client() {
    return this.inner.client;
  }
  get isCluster() {
    return this.inner.isCluster;
  }
  get lastError() {
    return this.inner.lastError;
  }
  ready(options: { timeoutMs: number; signal?: AbortSignal }): Promise<void> {
    return this.inner.ready(options);
  }
  async close(options?: { timeoutMs?: number }): Promise<void> {
    await this.inner.close(options);
    this.inner.client.disconnect();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
