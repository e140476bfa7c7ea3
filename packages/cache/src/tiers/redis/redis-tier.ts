import { randomBytes } from 'node:crypto';
import { abortedError, answerWithin, type Clock } from '@shardline/core';
import type { RedisClient, RedisConnection } from '@shardline/core/redis';
import {
  encodeMarker,
  encodePrefix,
  FrameKind,
  heldPayload,
  IDENTITY_BYTES,
} from '../../entry/frame.js';
import { FRESHEST, lifeWith, standingIn } from '../../entry/standing-freshness.js';
import { newToken } from '../../entry/token.js';
import type { Lease, Seen, SharedTier, Tombstone } from '../tier.js';
import { tierUnavailable } from '../tier-unavailable.js';
import { ReadBatch } from './read-batch.js';
import { RedisScript } from './redis-script.js';
import compareAndSetSource from './scripts/compare-and-set.lua';
import restampSource from './scripts/restamp.lua';
import stampSource from './scripts/stamp.lua';
import supersedeSource from './scripts/supersede.lua';
import { ServerRun } from './server-run.js';

/**
 * L2: Redis, standalone, under Sentinel, or a Cluster.
 *
 * A miss is leased by `SET NX` (no script), a refresh by overwriting the first 32 bytes; a fill is a
 * compare-and-set on the lease; an invalidation takes away what stands there, lease or value. Each
 * script has one key, so a Cluster needs no hash tags. A hit costs one GET and no script.
 */
export interface RedisTierOptions {
  readonly connection: RedisConnection;
  /** Deadline of one operation. */
  readonly timeoutMs: number;
  readonly maxFrameBytes: number;
  /** Believe entries that a restarted or promoted server brings along. */
  readonly trustAfterRestart: boolean;
  readonly clock: Clock;
}

const compareAndSet = new RedisScript(compareAndSetSource);
const restamp = new RedisScript(restampSource);
const stamp = new RedisScript(stampSource);
const supersede = new RedisScript(supersedeSource);

/** Longer than the longest common ttl; a stamp that goes earlier only costs its entries. */
const STAMP_LIFE_MS = 30 * 86_400_000;

/** Keys looked at in one step: a millisecond or so of the server's time. */
const SCAN_COUNT = 1000;
const SCANNING = 'Going over what Redis holds';

export class RedisTier implements SharedTier {
  readonly name = 'l2';
  readonly maxFrameBytes: number;
  readonly #client: RedisClient;
  readonly #options: RedisTierOptions;
  readonly #batch: ReadBatch;
  readonly #run: ServerRun;

  constructor(options: RedisTierOptions) {
    const { connection, timeoutMs, clock } = options;
    this.#options = options;
    this.#client = connection.client;
    this.maxFrameBytes = options.maxFrameBytes;
    this.#batch = new ReadBatch(connection.client, connection.isCluster, timeoutMs, clock);
    this.#run = new ServerRun(connection, options.trustAfterRestart);
  }

  get isAvailable(): boolean {
    return this.#client.status === 'ready' && this.#run.era !== undefined;
  }

  read(address: string): Promise<Seen> {
    const { era } = this.#run;
    if (era === undefined) return Promise.reject(notConnected());
    return this.#batch.get(address, era);
  }

  async lease(address: string, seen: Seen, leaseMs: number): Promise<Lease | undefined> {
    const token = newToken();
    const era = this.#era();
    const { bytes } = seen;
    if (bytes === undefined) {
      const frame = encodeMarker(FrameKind.Lease, token, Date.now() + leaseMs);
      const set = await this.#call(() => this.#client.set(address, frame, 'PX', leaseMs, 'NX'));
      return set === 'OK' ? leaseOf(token, frame, era, false) : undefined;
    }
    const expected = bytes.subarray(0, IDENTITY_BYTES);
    const nowMs = Date.now();
    const standing = standingIn(bytes, nowMs);
    const held = heldPayload(bytes);
    if (held !== undefined) {
      const identity = encodePrefix(FrameKind.Lease, held, token, 0).subarray(0, IDENTITY_BYTES);
      const granted = await this.#script(restamp, address, [expected, identity, `${leaseMs}`, '0']);
      return granted === 1
        ? { token, mark: identity, era, keepsPayload: true, standing }
        : undefined;
    }
    const frame = encodeMarker(FrameKind.Lease, token, nowMs + leaseMs, standing);
    const life = `${Math.ceil(lifeWith(standing, leaseMs, nowMs))}`;
    const granted = await this.#script(compareAndSet, address, [expected, frame, life]);
    return granted === 1 ? { ...leaseOf(token, frame, era, false), standing } : undefined;
  }

  async seize(address: string, leaseMs: number, tombstone?: Tombstone): Promise<Lease> {
    const token = newToken();
    const era = this.#era();
    const prefix = encodePrefix(FrameKind.Lease, undefined, token, Date.now() + leaseMs);
    const carried = await this.#call(() => this.#supersede(address, prefix, leaseMs, tombstone));
    const [freshness, untilMs] = (carried ?? []) as readonly string[];
    const standing = freshness === undefined ? undefined : { freshness, untilMs: Number(untilMs) };
    return { ...leaseOf(token, prefix, era, false), standing };
  }

  fill(address: string, lease: Lease, frame: Buffer, ttlMs: number): Promise<boolean> {
    return this.#setIfSame(address, lease.mark as Buffer, frame, ttlMs);
  }

  async replace(address: string, seen: Seen, frame: Buffer, ttlMs: number): Promise<boolean> {
    const { bytes } = seen;
    if (bytes === undefined) return false;
    return this.#setIfSame(address, bytes.subarray(0, IDENTITY_BYTES), frame, ttlMs);
  }

  async #setIfSame(
    address: string,
    expected: Buffer,
    frame: Buffer,
    ttlMs: number,
  ): Promise<boolean> {
    const lifeMs = `${Math.max(1, Math.round(ttlMs))}`;
    return (await this.#script(compareAndSet, address, [expected, frame, lifeMs])) === 1;
  }

  async release(address: string, lease: Lease, backoffMs: number): Promise<void> {
    const mark = lease.mark as Buffer;
    if (lease.keepsPayload) {
      const held = heldPayload(mark);
      const kind = backoffMs > 0 ? FrameKind.Failed : (held ?? FrameKind.Value);
      const prefix = encodePrefix(kind, backoffMs > 0 ? held : undefined, lease.token, 0);
      const identity = prefix.subarray(0, IDENTITY_BYTES);
      await this.#script(restamp, address, [mark, identity, `${backoffMs}`, '1']);
      return;
    }
    const { standing } = lease;
    const nowMs = Date.now();
    const frame = encodeMarker(FrameKind.Failed, lease.token, nowMs + backoffMs, standing);
    const life = `${Math.ceil(lifeWith(standing, Math.max(1, backoffMs), nowMs))}`;
    await this.#script(compareAndSet, address, [mark, frame, life]);
  }

  async invalidate(addresses: readonly string[], tombstone?: Tombstone): Promise<void> {
    // All at once, each by itself: they are pipelined, and a Cluster sends each where it belongs.
    await this.#call(() =>
      Promise.all(addresses.map((address) => this.#invalidateOne(address, tombstone))),
    );
  }

  #invalidateOne(address: string, tombstone: Tombstone | undefined): Promise<unknown> {
    const token = newToken();
    const prefix = encodePrefix(FrameKind.Tombstone, undefined, token, 0);
    return this.#supersede(address, prefix, 0, tombstone);
  }

  #supersede(
    address: string,
    prefix: Buffer,
    leaseMs: number,
    { freshness, ttlMs }: Tombstone = { freshness: '', ttlMs: 0 },
  ): Promise<unknown> {
    const args = [prefix, `${leaseMs}`, freshness, `${ttlMs}`, FRESHEST];
    return supersede.run(this.#client, [address], args);
  }

  async readStamps(addresses: readonly string[]): Promise<readonly string[]> {
    const known = await Promise.all(addresses.map((address) => this.#batch.get(address, '')));
    return Promise.all(
      known.map(
        ({ bytes }, index) => bytes?.toString() ?? this.#stamp(addresses[index] as string, 'read'),
      ),
    );
  }

  async bumpStamps(addresses: readonly string[]): Promise<void> {
    await Promise.all(addresses.map((address) => this.#stamp(address, 'bump')));
  }

  async *scan(prefix: string, signal?: AbortSignal): AsyncGenerator<string> {
    const client = this.#client;
    const nodes = 'nodes' in client ? client.nodes('master') : [client];
    // What is special in a pattern stands for itself in a prefix.
    const match = `${prefix.replace(/[*?[\]\\]/g, '\\$&')}*`;
    for (const node of nodes) {
      let cursor = '0';
      do {
        const page = () => node.scan(cursor, 'MATCH', match, 'COUNT', SCAN_COUNT);
        const [next, addresses] = await this.#call(page, signal);
        cursor = next;
        for (const address of addresses) {
          if (signal?.aborted) throw abortedError(SCANNING, signal.reason);
          yield address;
        }
      } while (cursor !== '0');
    }
  }

  async #stamp(address: string, mode: 'read' | 'bump'): Promise<string> {
    const nonce = randomBytes(9).toString('base64url');
    return String(await this.#script(stamp, address, [nonce, mode, `${STAMP_LIFE_MS}`]));
  }

  async close(): Promise<void> {
    this.#run.close();
    await this.#options.connection.close();
  }

  #era(): string {
    const { era } = this.#run;
    if (era === undefined) throw notConnected();
    return era;
  }

  #script(
    script: RedisScript,
    address: string,
    args: readonly (string | Buffer)[],
  ): Promise<unknown> {
    return this.#call(() => script.run(this.#client, [address], args));
  }

  #call<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { timeoutMs, clock } = this.#options;
    return answerWithin({ timeoutMs, clock, signal, doing: 'A command to Redis' }, work);
  }
}

function notConnected(): Error {
  return tierUnavailable('l2', 'not connected to Redis');
}

function leaseOf(token: Buffer, frame: Buffer, era: string, keepsPayload: boolean): Lease {
  return { token, mark: frame.subarray(0, IDENTITY_BYTES), era, keepsPayload };
}
