import { Cluster, Redis } from 'ioredis';
import { type DeadlineOptions, withDeadline } from '../deadline.js';
import { coreErrors, defineErrors, ShardlineError } from '../errors.js';
import {
  isRedisClient,
  type RedisClient,
  type RedisTarget,
  type ResolvedRedisOptions,
  resolveRedisOptions,
} from './redis-options.js';

/**
 * Connections to Redis that fail fast and never repeat a command.
 *
 * ioredis by default queues commands while it is disconnected, sends unanswered ones again after a
 * reconnect, and sets no time limit on any of them. For a counter that means double charges, for a
 * cache that a dead Redis makes every request slow (langfuse/langfuse#12574). Here nothing is queued,
 * nothing is sent twice, every command has a deadline, and reconnecting goes on in the background
 * for ever, with jitter and a short ceiling, because a service outlives its Redis.
 *
 * `protocol: 2`: with RESP3, ioredis 6 drops the `invalidate` pushes of CLIENT TRACKING.
 */

/** What a connection is for. A blocking read or a subscription legitimately waits for long. */
export type RedisPurpose = 'commands' | 'blocking' | 'subscriber';

/** What `openRedis` is told besides the target. */
export interface OpenRedisOptions {
  /** Shown in CLIENT LIST: `shardline:cache:bus`. */
  readonly name: string;
  /** @default 'commands' */
  readonly purpose?: RedisPurpose;
}

/** A connection and whether it is ours to close. */
export interface RedisConnection extends AsyncDisposable {
  readonly client: RedisClient;
  readonly isCluster: boolean;
  /** False for a client that the user passed in: it is never closed here. */
  readonly isOwned: boolean;
  /** The last connection failure, until a connection succeeds. */
  readonly lastError: Error | undefined;
  /**
   * Waits until commands can be sent.
   *
   * @throws ShardlineError `REDIS_UNREACHABLE` with the last connection failure as cause.
   */
  ready(options: { timeoutMs: number; signal?: AbortSignal }): Promise<void>;
  /** Ends the connection, letting commands under way finish for a moment. */
  close(options?: { timeoutMs?: number }): Promise<void>;
}

/** The errors of a Redis connection. */
export const redisErrors = defineErrors({
  REDIS_UNREACHABLE: {
    retryable: true,
    meaning: 'No connection to Redis could be made in time.',
    remedy:
      'Check that it runs, that address and password are right, and that TLS is as it expects.',
  },
});

const RECONNECT_FLOOR_MS = 50;
const RECONNECT_CEILING_MS = 2000;
const CLOSE_TIMEOUT_MS = 1000;

/**
 * Opens a connection; it connects in the background and is used once `ready`.
 *
 * @throws ShardlineError `CONFIG_INVALID`, naming every fault.
 *
 * @example
 * ```ts
 * import { openRedis } from '@shardline/core/redis';
 *
 * await using redis = openRedis('redis://127.0.0.1:6379', { name: 'sessions' });
 * await redis.ready({ timeoutMs: 2000 });
 * await redis.client.set('greeting', 'hello');
 * ```
 */
export function openRedis(target: RedisTarget, options: OpenRedisOptions): RedisConnection {
  if (isRedisClient(target)) return new OpenConnection(target, false);
  const resolved = resolveRedisOptions(target, `Redis connection '${options.name}'`);
  return new OpenConnection(createClient(resolved, options), true);
}

function createClient(resolved: ResolvedRedisOptions, options: OpenRedisOptions): RedisClient {
  const base = baseOptions(resolved, options);
  if ('cluster' in resolved) {
    return new Cluster([...resolved.cluster], {
      enableOfflineQueue: false,
      redisOptions: base,
      clusterRetryStrategy: reconnectDelayMs,
      // 0: a command whose connection was cut is not sent again, it may have run.
      retryDelayOnFailover: 0,
      maxRedirections: 8,
      slotsRefreshInterval: 10_000,
      slotsRefreshTimeout: Math.min(resolved.connectTimeout, 2000),
      ...(resolved.natMap === undefined ? {} : { natMap: { ...resolved.natMap } }),
    });
  }
  const single = {
    ...base,
    enableOfflineQueue: false,
    retryStrategy: reconnectDelayMs,
    db: resolved.database,
    // A demoted primary answers READONLY: the next connection is made to whoever leads now.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  };
  if ('sentinels' in resolved) {
    return new Redis({
      ...single,
      sentinels: [...resolved.sentinels],
      name: resolved.primaryName,
      sentinelRetryStrategy: reconnectDelayMs,
      failoverDetector: true,
      ...(resolved.sentinelPassword === undefined
        ? {}
        : { sentinelPassword: resolved.sentinelPassword }),
    });
  }
  return new Redis(resolved.url, withoutDefaultDatabase(single, resolved));
}

/** A database in the URL stands unless the options name another. */
function withoutDefaultDatabase<T extends { db: number }>(
  options: T,
  resolved: { database: number },
) {
  const { db, ...rest } = options;
  return resolved.database === 0 ? rest : { ...rest, db };
}

function baseOptions(
  resolved: ResolvedRedisOptions,
  { name, purpose = 'commands' }: OpenRedisOptions,
) {
  const { username, password, tls } = resolved;
  return {
    protocol: 2 as const,
    connectionName: name,
    connectTimeout: resolved.connectTimeout,
    ...(purpose === 'commands' ? { commandTimeout: resolved.commandTimeout } : {}),
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: true,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined || tls === false ? {} : { tls: tls === true ? {} : { ...tls } }),
  };
}

/** Exponential with full jitter: a fleet that lost its Redis must not come back in step. */
function reconnectDelayMs(attempt: number): number {
  const ceilingMs = Math.min(RECONNECT_CEILING_MS, RECONNECT_FLOOR_MS * 2 ** Math.min(attempt, 10));
  return RECONNECT_FLOOR_MS + Math.random() * (ceilingMs - RECONNECT_FLOOR_MS);
}

class OpenConnection implements RedisConnection {
  readonly client: RedisClient;
  readonly isCluster: boolean;
  readonly isOwned: boolean;
  lastError: Error | undefined;
  #closing: Promise<void> | undefined;
  #hasMetMasters: boolean;

  constructor(client: RedisClient, isOwned: boolean) {
    this.client = client;
    this.isCluster = client.isCluster === true;
    this.isOwned = isOwned;
    this.#hasMetMasters = !(this.isCluster && isOwned);
    // Without a listener ioredis prints every failed reconnect; the last one is kept for messages.
    client.on('error', this.#onError);
    client.on('ready', this.#onReady);
  }

  async ready(options: { timeoutMs: number; signal?: AbortSignal }): Promise<void> {
    if (this.#closing !== undefined) {
      throw new ShardlineError(coreErrors.CLOSED, 'The Redis connection was closed.');
    }
    const isReady = () => this.client.status === 'ready';
    if (isReady() && this.#hasMetMasters) return;
    const doing = 'Connecting to Redis';
    const startedMs = performance.now();
    try {
      if (!isReady()) await withDeadline({ ...options, doing }, (stop) => this.#untilReady(stop));
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new ShardlineError(
        redisErrors.REDIS_UNREACHABLE,
        `Redis could not be reached within ${options.timeoutMs} ms${this.#lastErrorText()}.`,
        { cause: this.lastError ?? error },
      );
    }
    const leftMs = Math.max(0, options.timeoutMs - (performance.now() - startedMs));
    await this.#meetMasters({ ...options, timeoutMs: leftMs, doing });
  }

  #untilReady(stop: AbortSignal): Promise<void> {
    return new Promise<void>((resolve) => {
      this.client.once('ready', resolve);
      stop.addEventListener('abort', () => this.client.off('ready', resolve), { once: true });
    });
  }

  /**
   * A Cluster is ready once it knows its map. Its masters are dialled by their first commands, and every other command
   * fails with "Connection is closed." until that dial is over. A master that cannot be reached, or is frozen, is
   * waited for once and no longer than there is time: what it owns fails, the rest does not.
   */
  async #meetMasters(limits: DeadlineOptions): Promise<void> {
    if (this.#hasMetMasters) return;
    const masters = (this.client as Cluster).nodes('master');
    try {
      await withDeadline(limits, () => Promise.all(masters.map(dialled)));
    } catch (error) {
      if (limits.signal?.aborted) throw error;
    }
    this.#hasMetMasters = true;
  }

  #lastErrorText(): string {
    return this.lastError === undefined ? '' : `: ${this.lastError.message}`;
  }

  close(options: { timeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#end(options.timeoutMs ?? CLOSE_TIMEOUT_MS);
    return this.#closing;
  }

  async #end(timeoutMs: number): Promise<void> {
    this.client.off('ready', this.#onReady);
    if (!this.isOwned) {
      this.client.off('error', this.#onError);
      return;
    }
    if (this.client.status === 'ready') {
      const quitting = withDeadline({ timeoutMs, doing: 'Closing Redis' }, () =>
        this.client.quit(),
      );
      // A Redis that does not answer QUIT is cut off below all the same.
      await quitting.catch(() => {});
    }
    this.client.disconnect();
    for (const node of nodesOf(this.client)) destroySocket(node);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  readonly #onError = (error: Error): void => {
    this.lastError = error;
  };

  readonly #onReady = (): void => {
    this.lastError = undefined;
  };
}

/** Resolves when a node's dial is over, however it ended. */
async function dialled(node: Redis): Promise<void> {
  if (node.status === 'ready') return;
  if (node.status === 'wait') return node.connect().catch(() => {});
  await new Promise<void>((resolve) => {
    node.once('ready', resolve).once('end', resolve);
  });
}

function nodesOf(client: RedisClient): Redis[] {
  return client.isCluster ? (client as Cluster).nodes('all') : [client as Redis];
}

/**
 * ioredis only says goodbye (`end`), and a peer that is frozen never answers that: the socket would
 * stay behind until TCP gives up, minutes later.
 */
function destroySocket(node: Redis): void {
  (node as { stream?: { destroy?: () => void } }).stream?.destroy?.();
}
