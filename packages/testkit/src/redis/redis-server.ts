import { checkOptions } from '@shardline/core';
import { chooseBackend } from '../server/choose-backend.js';
import { DelegatingServer } from '../server/delegating-server.js';
import { startOnFreePort } from '../server/free-port.js';
import type { Server } from '../server/server.js';
import { makeCertificate } from './certificate.js';
import { launchRedis } from './launch-redis.js';
import { redisConfiguration } from './redis-configuration.js';
import { type RedisOptions, redisOptionsSchema } from './redis-options.js';
import { parseInfo, type RedisAccess, redisSession } from './redis-session.js';

/** A Redis that tests can hurt. */
export class RedisServer extends DelegatingServer {
  readonly #access: RedisAccess;
  /** Forgotten once called: what it gives back may be another server's by the second stop(). */
  #onStopped: (() => Promise<void>) | undefined;

  constructor(server: Server, access: RedisAccess, onStopped?: () => Promise<void>) {
    super(server);
    this.#access = access;
    this.#onStopped = onStopped;
  }

  /** `redis://127.0.0.1:15123`, with the password if there is one; `rediss:` where it speaks TLS. */
  get url(): string {
    const url = new URL(`${this.certificate === undefined ? 'redis' : 'rediss'}://${this.host}`);
    url.port = String(this.port);
    if (this.password !== undefined) url.password = encodeURIComponent(this.password);
    return url.href.replace(/\/$/, '');
  }

  /** Password of the default user. */
  get password(): string | undefined {
    return this.#access.password;
  }

  /** PEM of its certificate, which is its own authority; undefined without TLS. */
  get certificate(): string | undefined {
    return this.#access.certificate;
  }

  /** One command over a connection of its own that is closed afterwards. */
  command(command: string, ...args: (string | number | Buffer)[]): Promise<unknown> {
    return redisSession(this, this.#access, (call) => call(command, ...args));
  }

  /** As command(), with binary answers as Buffers. */
  commandBuffer(command: string, ...args: (string | number | Buffer)[]): Promise<unknown> {
    return redisSession(this, this.#access, (_, callBuffer) => callBuffer(command, ...args));
  }

  /** What INFO says, of one section or of all, by name. */
  async info(section?: string): Promise<ReadonlyMap<string, string>> {
    const answer = await this.command('INFO', ...(section === undefined ? [] : [section]));
    return parseInfo(String(answer));
  }

  override async stop(): Promise<void> {
    const onStopped = this.#onStopped;
    this.#onStopped = undefined;
    await super.stop();
    await onStopped?.();
  }
}

/**
 * Starts a Redis that keeps nothing on disk unless told to.
 *
 * @throws ShardlineError `CONFIG_INVALID`, `TESTKIT_BINARY_MISSING`, `TESTKIT_NOT_READY`.
 *
 * @example
 * ```ts
 * import { startRedis } from '@shardline/testkit';
 *
 * await using redis = await startRedis({ maxMemory: '64mb', maxMemoryPolicy: 'allkeys-lru' });
 * await redis.command('SET', 'greeting', 'hello');
 * await redis.freeze();
 * await redis.thaw();
 * ```
 */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const checked = checkOptions(redisOptionsSchema, options, 'startRedis');
  const backend = await chooseBackend('redis');
  const tls = checked.tls ? await makeCertificate() : undefined;
  const access: RedisAccess = { password: checked.password, certificate: tls?.certificate };
  const server = await startOnFreePort((port) =>
    launchRedis(backend, {
      name: checked.name,
      port,
      access,
      signal: checked.signal,
      tls,
      configuration: (place, hasDebugDirective) =>
        redisConfiguration(place, checked, {
          users: checked.users,
          hasTls: checked.tls,
          hasDebugDirective,
        }),
    }),
  );
  return new RedisServer(server, access);
}
