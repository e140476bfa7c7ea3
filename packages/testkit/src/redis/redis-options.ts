import * as v from 'valibot';
import { serverNameOption } from '../server/server-name.js';

/** What every Redis of the testkit can be told, alone or in a group. */
export interface RedisCommonOptions {
  /** For logs, folders and messages. */
  readonly name?: string;
  /** Password of the default user. @default none */
  readonly password?: string;
  /** Whether data survives a restart, by an append-only file. @default false */
  readonly persistence?: boolean;
  /** Most memory for data: `64mb`. @default no limit */
  readonly maxMemory?: string;
  /** What happens when it is full: `allkeys-lru`. @default 'noeviction' */
  readonly maxMemoryPolicy?: string;
  /** Which keyspace events are published: `Ex`. @default none */
  readonly notifyKeyspaceEvents?: string;
  /** Directives of redis.conf over the kit's, written as they stand there. */
  readonly settings?: RedisSettings;
  /** Gives up a start that is under way. */
  readonly signal?: AbortSignal;
}

/** Directives of redis.conf by name; a list writes the directive once for each value. */
export type RedisSettings = Readonly<Record<string, string | number | readonly string[]>>;

/** How a Redis is started. */
export interface RedisOptions extends RedisCommonOptions {
  /** Further users, as ACL rules: `{ reader: 'on >secret ~app:* +@read' }`. */
  readonly users?: Readonly<Record<string, string>>;
  /** Whether it speaks TLS, with a certificate made for the occasion by openssl. @default false */
  readonly tls?: boolean;
}

/** One line of a configuration file: a line break in it would smuggle in another directive. */
const line = v.pipe(v.string(), v.regex(/^[^\r\n\0]*$/, 'must be one line'));

const settingName = v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]*$/i, 'is no name of a directive'));

export const redisCommonEntries = {
  password: v.optional(v.pipe(line, v.nonEmpty('must not be empty'))),
  persistence: v.optional(v.boolean(), false),
  maxMemory: v.optional(
    v.pipe(line, v.regex(/^\d+([kmg]b?)?$/i, "must be a number of bytes such as '64mb'")),
  ),
  maxMemoryPolicy: v.optional(
    v.picklist(
      [
        'noeviction',
        'allkeys-lru',
        'allkeys-lfu',
        'allkeys-random',
        'volatile-lru',
        'volatile-lfu',
        'volatile-random',
        'volatile-ttl',
      ],
      'is no eviction policy',
    ),
  ),
  notifyKeyspaceEvents: v.optional(v.pipe(line, v.regex(/^[A-Za-z$]*$/, 'is no set of classes'))),
  settings: v.optional(v.record(settingName, v.union([line, v.number(), v.array(line)])), {}),
  signal: v.optional(v.instance(AbortSignal)),
};

/**
 * A Sentinel rewrites its file with the password bare, and then cannot read it (seen with 7.0.15).
 */
export const sentinelPassword = v.optional(
  v.pipe(
    v.string(),
    v.regex(
      /^[^\s"'\\]+$/,
      'must be without spaces, quotes and backslashes: a Sentinel cannot keep them',
    ),
  ),
);

const userName = v.pipe(v.string(), v.regex(/^[^\s]+$/, 'is no name of a user'));

export const redisOptionsSchema = v.strictObject({
  name: v.optional(serverNameOption, 'redis'),
  ...redisCommonEntries,
  users: v.optional(v.record(userName, line), {}),
  tls: v.optional(v.boolean(), false),
});

/** What all kinds of Redis have in common, checked. */
export type CheckedRedisOptions = Omit<v.InferOutput<typeof redisOptionsSchema>, 'users' | 'tls'>;
