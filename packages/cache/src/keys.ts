import { createHash } from 'node:crypto';
import { ShardlineError } from '@shardline/core';
import { cacheErrors } from './errors.js';

/**
 * Where things stand in the shared tiers.
 *
 *     shardline:userProfiles:v:42        an entry, a lease or a tombstone
 *     shardline:userProfiles:s:t:vip     the stamp of a tag; `s:n` of the namespace, `s:p:..` of a prefix
 *     {shardline:bus}                    the stream of the bus
 *
 * A namespace's name holds no colon, so no namespace's prefix is the beginning of another's, which
 * CLIENT TRACKING by prefix demands.
 */

const MAX_KEY_BYTES = 1024;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f]/;

/** Why a text is no cache key, or undefined if it is one. */
export function keyFault(key: unknown): string | undefined {
  if (typeof key !== 'string') return `is a ${typeof key}, not a text`;
  if (key === '') return 'is empty';
  if (key.length > MAX_KEY_BYTES || Buffer.byteLength(key) > MAX_KEY_BYTES) {
    return `has more than ${MAX_KEY_BYTES} bytes`;
  }
  if (CONTROL_CHARACTERS.test(key)) return 'holds a control character';
  if (!key.isWellFormed()) return 'holds half a surrogate pair';
  return undefined;
}

/** @throws ShardlineError `CACHE_KEY_INVALID`. */
export function assertKey(namespace: string, key: string): void {
  const fault = keyFault(key);
  if (fault === undefined) return;
  const shown = typeof key === 'string' ? JSON.stringify(key.slice(0, 64)) : String(key);
  throw new ShardlineError(
    cacheErrors.CACHE_KEY_INVALID,
    `The key ${shown} of namespace '${namespace}' ${fault}.`,
  );
}

/** The addresses of one namespace in the shared tiers. */
export class Addresses {
  readonly valuePrefix: string;
  readonly stampPrefix: string;

  constructor(
    readonly prefix: string,
    namespace: string,
  ) {
    this.valuePrefix = `${prefix}:${namespace}:v:`;
    this.stampPrefix = `${prefix}:${namespace}:s:`;
  }

  value(key: string): string {
    return this.valuePrefix + key;
  }

  stamp(name: string): string {
    return this.stampPrefix + name;
  }
}

/** Memcached takes 250 bytes without blanks; what does not fit goes by its hash. */
const MAX_MEMCACHED_KEY_BYTES = 250;
const MEMCACHED_SAFE = /^[\x21-\x7e]+$/;

/** An address as Memcached takes it. */
export function memcachedAddress(address: string): string {
  if (address.length <= MAX_MEMCACHED_KEY_BYTES && MEMCACHED_SAFE.test(address)) return address;
  return `#${createHash('sha256').update(address).digest('base64url')}`;
}
