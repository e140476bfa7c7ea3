import { createHash } from 'node:crypto';
import { Ratelimit } from '@upstash/ratelimit';
import type { Redis } from 'ioredis';

/**
 * `@upstash/ratelimit` on a plain Redis.
 *
 * It is made for Upstash's Redis over HTTP: each of its calls is a request of its own to a proxy, which a
 * local comparison cannot have. This shim puts the library's own algorithm and scripts on an ioredis
 * connection, so it leaves out the HTTP hop, its JSON, and the proxy's latency: what is measured is the
 * library at its best, faster than anyone has it in production.
 *
 * Its scripts open with `#!lua flags=allow-key-locking`, a flag that only Upstash's server knows and
 * Redis refuses to compile. The line is cut down to `#!lua`; the rest is sent as it is.
 */
export function upstashOn(client: Redis): Ratelimit {
  return new Ratelimit({
    redis: shimOver(client) as unknown as ConstructorParameters<typeof Ratelimit>[0]['redis'],
    // A token bucket, as ours is, though it refills in whole intervals by the caller's clock.
    limiter: Ratelimit.tokenBucket(1_000_000, '1 s', 1_000_000),
    prefix: 'upstash',
  });
}

/** What the library calls on its `redis`. */
interface UpstashRedis {
  evalsha(hash: string, keys: string[], args: unknown[]): Promise<unknown>;
  eval(script: string, keys: string[], args: unknown[]): Promise<unknown>;
  get(key: string): Promise<unknown>;
  set(key: string, value: string): Promise<unknown>;
}

function shimOver(client: Redis): UpstashRedis {
  /** By the hash that the library knows a script by, the one that the server knows it by. */
  const hashes = new Map<string, string>();
  const run = (hash: string, keys: string[], args: unknown[]) =>
    client.evalsha(hash, keys.length, ...keys, ...args.map(String));
  return {
    async evalsha(hash, keys, args) {
      const known = hashes.get(hash);
      if (known === undefined) throw new Error('NOSCRIPT No matching script.');
      return run(known, keys, args);
    },
    async eval(script, keys, args) {
      const loaded = String(await client.script('LOAD', script.replace(/^#!lua .*/, '#!lua')));
      hashes.set(createHash('sha1').update(script).digest('hex'), loaded);
      return run(loaded, keys, args);
    },
    get: (key) => client.get(key),
    set: (key, value) => client.set(key, value),
  };
}
