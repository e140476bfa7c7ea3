import { checkOptions, type Duration, durationOption, integerOption } from '@shardline/core';
import * as v from 'valibot';
import { chooseBackend } from '../server/choose-backend.js';
import { startOnFreePort } from '../server/free-port.js';
import type { Backend } from '../server/server.js';
import { serverNameOption } from '../server/server-name.js';
import { startTogether, stopTogether } from '../server/start-together.js';
import { waitUntil } from '../server/wait-until.js';
import { launchRedis, launchSentinel } from './launch-redis.js';
import { redisConfiguration, sentinelConfiguration } from './redis-configuration.js';
import {
  type RedisCommonOptions,
  type RedisSettings,
  redisCommonEntries,
  sentinelPassword,
} from './redis-options.js';
import { RedisSentinel } from './redis-sentinel.js';
import { RedisServer } from './redis-server.js';
import { SentinelServer } from './sentinel-server.js';

/** How a Sentinel group is started. */
export interface RedisSentinelOptions extends RedisCommonOptions {
  /** @default 2 */
  readonly replicas?: number;
  /** @default 3, the fewest of which one may fail */
  readonly sentinels?: number;
  /** How many Sentinels must see the primary as down. @default more than half of them */
  readonly quorum?: number;
  /** The name under which the Sentinels know the primary. @default 'primary' */
  readonly masterName?: string;
  /** How long the primary may be silent before a Sentinel sees it as down. @default '1s' */
  readonly downAfter?: Duration;
  /** After how long a failover that does not get on is given up. @default '3s' */
  readonly failoverTimeout?: Duration;
}

const schema = v.strictObject({
  name: v.optional(serverNameOption, 'redis-sentinel'),
  ...redisCommonEntries,
  password: sentinelPassword,
  replicas: v.optional(integerOption(0, 8), 2),
  sentinels: v.optional(integerOption(1, 9), 3),
  quorum: v.optional(integerOption(1, 9)),
  masterName: v.optional(
    v.pipe(v.string(), v.regex(/^[\w.-]+$/, "must be of letters, digits, '.', '-' and '_'")),
    'primary',
  ),
  downAfter: v.optional(durationOption({ min: '100ms' }), '1s'),
  failoverTimeout: v.optional(durationOption({ min: '500ms' }), '3s'),
});

type SentinelOptions = v.InferOutput<typeof schema>;

/**
 * Starts a primary with replicas and the Sentinels that watch them. The group is stable when this
 * resolves.
 *
 * @throws ShardlineError `CONFIG_INVALID`, `TESTKIT_BINARY_MISSING`, `TESTKIT_NOT_READY`.
 *
 * @example
 * ```ts
 * import { startRedisSentinel } from '@shardline/testkit';
 *
 * await using group = await startRedisSentinel();
 * const former = await group.primary();
 * await former.kill();
 * const primary = await group.waitForFailover(former);
 * await primary.command('SET', 'after', 'the failover');
 * ```
 */
export async function startRedisSentinel(
  options: RedisSentinelOptions = {},
): Promise<RedisSentinel> {
  const checked = checkOptions(schema, options, 'startRedisSentinel');
  const backend = await chooseBackend('redis');
  const started: RedisServer[] = [];
  try {
    const primary = await startServer(backend, checked, `${checked.name}-0`);
    started.push(primary);
    const replicas = await startTogether(
      range(checked.replicas).map((index) => () => startReplica(backend, checked, index, primary)),
    );
    started.push(...replicas);
    // A Sentinel looks for replicas every ten seconds: they had better be there at its first look.
    await replicating(primary, checked.replicas);
    const sentinels = await startTogether(
      range(checked.sentinels).map(
        (index) => () => startSentinel(backend, checked, index, primary),
      ),
    );
    started.push(...sentinels);
    const { name, masterName, signal } = checked;
    const group = new RedisSentinel({
      name,
      masterName,
      servers: [primary, ...replicas],
      sentinels,
    });
    await group.waitUntilStable(signal === undefined ? {} : { signal });
    return group;
  } catch (error) {
    await stopTogether(started);
    throw error;
  }
}

function range(length: number): number[] {
  return Array.from({ length }, (_, index) => index);
}

function startReplica(
  backend: Backend,
  options: SentinelOptions,
  index: number,
  primary: RedisServer,
): Promise<RedisServer> {
  return startServer(backend, options, `${options.name}-${index + 1}`, {
    replicaof: `${primary.host} ${primary.port}`,
  });
}

async function startServer(
  backend: Backend,
  options: SentinelOptions,
  name: string,
  role: RedisSettings = {},
): Promise<RedisServer> {
  const access = { password: options.password };
  const server = await startOnFreePort((port) =>
    launchRedis(backend, {
      name,
      port,
      access,
      signal: options.signal,
      configuration: (place, hasDebugDirective) =>
        redisConfiguration(place, options, { hasDebugDirective, role }),
    }),
  );
  return new RedisServer(server, access);
}

async function startSentinel(
  backend: Backend,
  options: SentinelOptions,
  index: number,
  primary: RedisServer,
): Promise<RedisServer> {
  const server = await startOnFreePort((port) =>
    launchSentinel(backend, {
      name: `${options.name}-sentinel-${index}`,
      port,
      signal: options.signal,
      configuration: (place) =>
        sentinelConfiguration(place, {
          masterName: options.masterName,
          primaryPort: primary.port,
          quorum: options.quorum ?? Math.floor(options.sentinels / 2) + 1,
          replicas: options.replicas,
          downAfterMs: options.downAfter,
          failoverTimeoutMs: options.failoverTimeout,
          password: options.password,
        }),
    }),
  );
  const sentinel = new SentinelServer(server);
  try {
    await sentinel.hurry();
    return sentinel;
  } catch (error) {
    await sentinel.stop();
    throw error;
  }
}

function replicating(primary: RedisServer, replicas: number): Promise<boolean> {
  return waitUntil(
    async () => {
      const info = await primary.info('replication');
      const online = [...info.values()].filter((value) => value.includes('state=online')).length;
      return online === replicas;
    },
    { what: `${replicas} replicas to stream from ${primary.name}`, within: '60s' },
  );
}
