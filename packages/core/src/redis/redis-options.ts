import type { ConnectionOptions } from 'node:tls';
import type { Cluster, Redis } from 'ioredis';
import * as v from 'valibot';
import type { Duration } from '../duration.js';
import { checkOptions, configurationError, durationOption, integerOption } from '../options.js';

/** A client of ioredis that is already there: used as it is, never closed by us. */
export type RedisClient = Redis | Cluster;

/** One address of a Redis, Sentinel or Cluster node. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

/** What holds for every way to reach Redis. */
export interface RedisCommonOptions {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** `true` verifies the server against the system's authorities; give `ca` for one of your own. */
  readonly tls?: boolean | ConnectionOptions | undefined;
  /** How long one connection attempt may take. @default '2s' */
  readonly connectTimeout?: Duration | undefined;
  /** How long one command may take, its way included. @default '1s' */
  readonly commandTimeout?: Duration | undefined;
  /** Database number; 0 on a Cluster. @default 0 */
  readonly database?: number | undefined;
}

/** One Redis. */
export interface StandaloneRedisOptions extends RedisCommonOptions {
  /** `redis://user:password@host:6379/0`, or `rediss://` for TLS. */
  readonly url: string;
}

/** A primary that Sentinels watch. */
export interface SentinelRedisOptions extends RedisCommonOptions {
  readonly sentinels: readonly RedisAddress[];
  /** The name that the Sentinels know the primary by: `mymaster`. */
  readonly primaryName: string;
  readonly sentinelPassword?: string | undefined;
}

/** A Redis Cluster. */
export interface ClusterRedisOptions extends RedisCommonOptions {
  /** Some nodes to learn the rest from. */
  readonly cluster: readonly RedisAddress[];
  /** Public addresses by announced ones, where nodes announce private addresses. */
  readonly natMap?: Readonly<Record<string, RedisAddress>> | undefined;
}

/** How to reach Redis: a URL, one of the three set-ups, or a client that is already there. */
export type RedisTarget =
  | string
  | StandaloneRedisOptions
  | SentinelRedisOptions
  | ClusterRedisOptions
  | RedisClient;

/** Options with every default filled in, times in milliseconds. */
export type ResolvedRedisOptions = v.InferOutput<
  typeof standaloneSchema | typeof sentinelSchema | typeof clusterSchema
>;

const addressSchema = v.strictObject({ host: v.string(), port: integerOption(1, 65_535) });

const common = {
  username: v.optional(v.string()),
  password: v.optional(v.string()),
  tls: v.optional(v.union([v.boolean(), v.custom<ConnectionOptions>(isPlainObject)])),
  connectTimeout: v.optional(durationOption({ min: '1ms', max: '5m' }), '2s'),
  commandTimeout: v.optional(durationOption({ min: '1ms', max: '5m' }), '1s'),
  database: v.optional(integerOption(0), 0),
};

const standaloneSchema = v.strictObject({
  url: v.pipe(
    v.string(),
    v.regex(/^rediss?:\/\//, 'must begin with redis:// or rediss://'),
    v.url('must be a URL such as redis://127.0.0.1:6379'),
  ),
  ...common,
});

const sentinelSchema = v.strictObject({
  sentinels: v.pipe(v.array(addressSchema), v.minLength(1, 'must name at least one Sentinel')),
  primaryName: v.string(),
  sentinelPassword: v.optional(v.string()),
  ...common,
});

const clusterSchema = v.strictObject({
  cluster: v.pipe(v.array(addressSchema), v.minLength(1, 'must name at least one node')),
  natMap: v.optional(v.record(v.string(), addressSchema)),
  ...common,
  database: v.optional(integerOption(0, 0), 0),
});

/** A client by its shape: two copies of ioredis may be loaded, so `instanceof` would lie. */
export function isRedisClient(target: unknown): target is RedisClient {
  if (typeof target !== 'object' || target === null) return false;
  const client = target as Partial<Record<'sendCommand' | 'duplicate' | 'disconnect', unknown>>;
  return (
    typeof client.sendCommand === 'function' &&
    typeof client.duplicate === 'function' &&
    typeof client.disconnect === 'function'
  );
}

/** @throws ShardlineError `CONFIG_INVALID`, naming every fault. */
export function resolveRedisOptions(
  target: Exclude<RedisTarget, RedisClient>,
  subject: string,
): ResolvedRedisOptions {
  const input = typeof target === 'string' ? { url: target } : target;
  if (!isPlainObject(input)) {
    throw configurationError(subject, [
      { path: '', message: 'must be a redis:// URL, an options object or an ioredis client' },
    ]);
  }
  if ('cluster' in input) return checkOptions(clusterSchema, input, subject);
  if ('sentinels' in input) return checkOptions(sentinelSchema, input, subject);
  return checkOptions(standaloneSchema, input, subject);
}

function isPlainObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
