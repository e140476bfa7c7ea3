import { checkOptions } from '@shardline/core';
import { startMemcachedNodes } from './memcached/memcached-server.js';
import { type PgBouncerServer, startPgBouncer } from './pgbouncer/pgbouncer-server.js';
import { startPostgres } from './postgres/start-postgres.js';
import { startRedis } from './redis/redis-server.js';
import { startRedisCluster } from './redis/start-redis-cluster.js';
import { startRedisSentinel } from './redis/start-redis-sentinel.js';
import { stopTogether } from './server/start-together.js';
import { type Shard, Topology } from './topology.js';
import {
  planShards,
  type ShardPlan,
  type TopologyOptions,
  topologyOptionsSchema,
} from './topology-options.js';

/**
 * Starts several servers side by side and gives them as one object. If one of them fails, the others
 * are given up and ended, and its error, which holds the end of its log, is thrown.
 *
 * @throws ShardlineError `CONFIG_INVALID`, naming all faults, and whatever the start of a server may
 * throw.
 *
 * @example
 * ```ts
 * import { startTopology } from '@shardline/testkit';
 *
 * await using servers = await startTopology({
 *   shards: 2,
 *   replicasPerShard: 1,
 *   redis: 'standalone',
 *   memcached: 2,
 * });
 * const { primary, replicas } = servers.shard(0);
 * await primary.query('CREATE TABLE bet (id bigint PRIMARY KEY)');
 * await replicas[0]?.freeze();
 * console.error(servers.urls);
 * ```
 */
export async function startTopology(options: TopologyOptions = {}): Promise<Topology> {
  const checked = checkOptions(topologyOptionsSchema, options, 'startTopology');
  const start = new JointStart(options.signal);
  const { signal } = start;
  const [shards, redis, redisCluster, redisSentinel, memcached] = await start.all([
    startShards(start, planShards(options), checked.pgbouncer),
    checked.redis === 'standalone' ? start.one(startRedis({ signal })) : undefined,
    checked.redis === 'cluster' ? start.one(startRedisCluster({ signal })) : undefined,
    checked.redis === 'sentinel' ? start.one(startRedisSentinel({ signal })) : undefined,
    checked.memcached === 0
      ? undefined
      : start.one(startMemcachedNodes(checked.memcached, { signal })),
  ]);
  return new Topology({
    ...shards,
    redis,
    redisCluster,
    redisSentinel,
    memcached: memcached?.nodes ?? [],
  });
}

async function startShards(
  start: JointStart,
  plans: readonly ShardPlan[],
  withPooler: boolean,
): Promise<{ shards: readonly Shard[]; pgbouncer: PgBouncerServer | undefined }> {
  const shards = await start.all(plans.map((plan) => startShard(start, plan)));
  if (!withPooler || shards.length === 0) return { shards, pgbouncer: undefined };
  const targets = shards.flatMap(({ name, primary, replicas }) => [
    [name, primary] as const,
    ...replicas.map((replica) => [replica.name, replica] as const),
  ]);
  const pooler = startPgBouncer({ target: Object.fromEntries(targets), signal: start.signal });
  return { shards, pgbouncer: await start.one(pooler) };
}

async function startShard(start: JointStart, plan: ShardPlan): Promise<Shard> {
  const { signal } = start;
  const primary = await start.one(startPostgres({ ...plan.postgres, name: plan.name, signal }));
  const replicas = await start.all(
    plan.replicas.map((replica) => start.one(primary.addReplica({ ...replica, signal }))),
  );
  return { name: plan.name, primary, replicas };
}

/** Several starts of which all succeed or none remains. */
class JointStart {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #started: AsyncDisposable[] = [];
  #failure: { readonly error: unknown } | undefined;

  constructor(signal: AbortSignal | undefined) {
    const own = this.#controller.signal;
    this.signal = signal === undefined ? own : AbortSignal.any([own, signal]);
  }

  /** Remembers what has started, to end it if another fails. */
  async one<T extends AsyncDisposable>(starting: Promise<T>): Promise<T> {
    try {
      const started = await starting;
      this.#started.push(started);
      return started;
    } catch (error) {
      // The first is the cause; those that are given up because of it fail after it.
      this.#failure ??= { error };
      this.#controller.abort(error);
      throw error;
    }
  }

  /** Waits for all, also for those that fail: only then is it known what must be ended. */
  async all<const T extends readonly unknown[]>(
    starting: T,
  ): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
    const outcomes = await Promise.allSettled(starting);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed === undefined) {
      const values = outcomes.map((outcome) => (outcome as PromiseFulfilledResult<unknown>).value);
      return values as { -readonly [K in keyof T]: Awaited<T[K]> };
    }
    const started = this.#started.splice(0);
    await stopTogether(started);
    throw this.#failure?.error ?? failed.reason;
  }
}
