import { ShardlineError } from '@shardline/core';
import { testkitErrors } from './errors.js';
import type { MemcachedServer } from './memcached/memcached-server.js';
import type { PgBouncerServer } from './pgbouncer/pgbouncer-server.js';
import type { PostgresServer } from './postgres/postgres-server.js';
import type { RedisCluster } from './redis/redis-cluster.js';
import type { RedisSentinel } from './redis/redis-sentinel.js';
import type { RedisServer } from './redis/redis-server.js';
import type { Server } from './server/server.js';
import { stopTogether } from './server/start-together.js';

/** A primary with its replicas. */
export interface Shard {
  readonly name: string;
  readonly primary: PostgresServer;
  /** Those of the beginning, those that were stopped or promoted since included. */
  readonly replicas: readonly PostgresServer[];
}

/** What a topology consists of. */
export interface TopologyParts {
  readonly shards: readonly Shard[];
  readonly redis: RedisServer | undefined;
  readonly redisCluster: RedisCluster | undefined;
  readonly redisSentinel: RedisSentinel | undefined;
  readonly memcached: readonly MemcachedServer[];
  readonly pgbouncer: PgBouncerServer | undefined;
}

/** Servers that were started together and end together. */
export class Topology implements AsyncDisposable {
  readonly shards: readonly Shard[];
  readonly memcached: readonly MemcachedServer[];
  readonly #parts: TopologyParts;

  /** @internal Use startTopology(). */
  constructor(parts: TopologyParts) {
    this.#parts = parts;
    this.shards = parts.shards;
    this.memcached = parts.memcached;
  }

  /** A shard by number or name. @throws ShardlineError `TESTKIT_SERVER_STATE` if there is none. */
  shard(which: number | string): Shard {
    const found =
      typeof which === 'number'
        ? this.shards[which]
        : this.shards.find(({ name }) => name === which);
    return found ?? absent(`a shard '${which}'`, 'shards');
  }

  /** The Redis that stands alone. @throws ShardlineError `TESTKIT_SERVER_STATE` if there is none. */
  get redis(): RedisServer {
    return this.#parts.redis ?? absent('a Redis that stands alone', "redis: 'standalone'");
  }

  /** @throws ShardlineError `TESTKIT_SERVER_STATE` if there is none. */
  get redisCluster(): RedisCluster {
    return this.#parts.redisCluster ?? absent('a Redis Cluster', "redis: 'cluster'");
  }

  /** @throws ShardlineError `TESTKIT_SERVER_STATE` if there is none. */
  get redisSentinel(): RedisSentinel {
    return this.#parts.redisSentinel ?? absent('a Sentinel group', "redis: 'sentinel'");
  }

  /**
   * Knows every primary by the name of its shard and every replica by its own.
   *
   * @throws ShardlineError `TESTKIT_SERVER_STATE` if there is none.
   */
  get pgbouncer(): PgBouncerServer {
    return this.#parts.pgbouncer ?? absent('a PgBouncer', 'pgbouncer: true');
  }

  /** Every server of it, each once. */
  get servers(): readonly Server[] {
    const { redis, redisCluster, redisSentinel, pgbouncer } = this.#parts;
    return [
      ...this.shards.flatMap(({ primary, replicas }) => [primary, ...replicas]),
      ...(redis === undefined ? [] : [redis]),
      ...(redisCluster?.nodes ?? []),
      ...(redisSentinel === undefined
        ? []
        : [...redisSentinel.servers, ...redisSentinel.sentinels]),
      ...this.memcached,
      ...(pgbouncer === undefined ? [] : [pgbouncer]),
    ];
  }

  /** Where each server listens, by its name. */
  get urls(): Readonly<Record<string, string>> {
    const named = this.servers.map((server) => {
      const url = 'url' in server ? String(server.url) : `${server.host}:${server.port}`;
      return [server.name, url];
    });
    return Object.fromEntries(named) as Record<string, string>;
  }

  /** The end of every server's log, for the output of a test that failed. */
  async logs(lines = 20): Promise<string> {
    const texts = await Promise.all(
      this.servers.map(async (server) => `--- ${server.name}\n${await server.logs(lines)}\n`),
    );
    return texts.join('');
  }

  /** Ends all of them and removes everything of them. Safe to call twice. */
  async stop(): Promise<void> {
    const { redisSentinel } = this.#parts;
    const ofSentinel = new Set<Server>([
      ...(redisSentinel?.servers ?? []),
      ...(redisSentinel?.sentinels ?? []),
    ]);
    // Primaries come before their replicas in this list, which then need not tidy up after
    // themselves there; a Sentinel group has an order of its own.
    const others = this.servers.filter((server) => !ofSentinel.has(server));
    await stopTogether([...others, ...(redisSentinel === undefined ? [] : [redisSentinel])]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

function absent(what: string, option: string): never {
  throw new ShardlineError(
    testkitErrors.TESTKIT_SERVER_STATE,
    `This topology was started without ${what}.`,
    { remedy: `Name it in the options of startTopology (${option}).` },
  );
}
