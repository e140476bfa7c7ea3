import type { Clock, SigningKey } from '@shardline/core';
import { type PoolSession, type ReplicaPool, runInPoolSessions } from '@shardline/pool';
import { murmur3x64 } from '@shardline/shard-router';
import { runInLayerSession } from './current-session.js';
import type { LayerSession } from './layer-session.js';
import { RowFloors, type RowMark, unknownMark } from './row-floors.js';
import {
  MAX_SHARDS,
  openToken,
  sealToken,
  type TokenContents,
  type TokenShard,
} from './session-token.js';

/**
 * A session as one process has it: the pools' sessions of the shards that it touches, and the rows that it has
 * seen through the cache.
 *
 * - **From the database** each shard's pool session sees to it that reads see what was written and never go back.
 * - **From the cache** a row is shown only if it may follow what was seen of it (`row-floors.ts`); and L1
 *   only if it was proven good after the session came into this process, unless it was here last.
 * - **When slots move** a key's rows are on another shard, whose positions say nothing of the old one's. A
 *   session that meets another topology than its positions belong to begins anew at the primaries, which
 *   hold what was moved to them.
 */
export interface SessionContext {
  /** What sessions are kept by: the layer. */
  readonly owner: object;
  readonly pools: ReadonlyMap<string, ReplicaPool>;
  readonly shardOf: ReadonlyMap<object, string>;
  /** The topology in force. */
  readonly epoch: () => number;
  readonly clock: Clock;
  readonly signingKeys: readonly SigningKey[];
  readonly tokenLifetimeMs: number;
  /** Names this process in tokens: 16 hexadecimal digits. */
  readonly issuer: string;
}

/** A name as 16 hexadecimal digits, the same in every process. */
export function hashOf(name: string): string {
  const [first = 0, second = 0] = murmur3x64(name);
  return hex8(first) + hex8(second);
}

function hex8(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}

/** What a session knows of one shard that it has not used in this process yet. */
interface Claimed {
  readonly floor: TokenShard;
  readonly isTrusted: boolean;
}

/** A session of an open layer. */
export class OpenSession implements LayerSession {
  readonly #context: SessionContext;
  readonly #pools = new Map<string, PoolSession>();
  readonly #claimed = new Map<string, Claimed>();
  readonly #rows = new RowFloors();
  readonly #pending = new Map<string, Promise<RowMark>>();
  readonly #touched: string[] = [];
  #epoch: number;
  /** Shards that the session does not know begin at their primary: it may have been there, and forgotten. */
  #othersAtPrimary = false;
  /** What the token says of shards is put to their primaries: it is of another topology. */
  #mustClaim = false;
  #provenSinceMs: number | undefined;
  #willRead = true;

  constructor(context: SessionContext, contents?: TokenContents) {
    this.#context = context;
    this.#epoch = context.epoch();
    if (contents !== undefined) this.#takeIn(contents);
  }

  /** A session that nobody goes on with: a write or a transaction outside of any has to know where it ended, all the same. */
  static ofOneCall(context: SessionContext): OpenSession {
    const session = new OpenSession(context);
    session.#willRead = false;
    return session;
  }

  /** A session of which nothing is known but that it has been elsewhere. */
  static atPrimaries(context: SessionContext): OpenSession {
    const session = new OpenSession(context);
    session.#othersAtPrimary = true;
    session.#provenSinceMs = context.clock.monotonicMs();
    return session;
  }

  /** Since when what this process remembers must be proven good, for this session. */
  get provenSinceMs(): number | undefined {
    return this.#provenSinceMs;
  }

  run<T>(work: () => T): T {
    const { owner } = this.#context;
    return runInPoolSessions(
      (pool) => this.#sessionOf(pool),
      () => runInLayerSession(owner, this, work),
    );
  }

  async token(): Promise<string> {
    await Promise.all(this.#pending.values());
    const { issuer, clock, tokenLifetimeMs, signingKeys } = this.#context;
    const shards = await this.#tokenShards();
    return sealToken(
      {
        issuer,
        epoch: this.#epoch,
        expiresAtMs: clock.now() + tokenLifetimeMs,
        shards,
        hasMoreShards: this.#othersAtPrimary,
        rows: [...this.#rows.entries()].map(([row, { shard, from, to }]) => ({
          row,
          shard: hashOf(shard),
          from,
          to,
        })),
      },
      signingKeys,
    );
  }

  merge(token: string): void {
    this.#takeIn(openToken(token, this.#context.signingKeys));
  }

  /** The pool session of a shard, begun when it is first needed. */
  on(shard: string): PoolSession {
    this.#follow();
    const known = this.#pools.get(shard);
    if (known !== undefined) return known;
    const pool = this.#context.pools.get(shard);
    if (pool === undefined) throw new Error(`The data layer has no shard '${shard}'.`);
    const begun = this.#begin(shard, pool);
    this.#pools.set(shard, begun);
    this.#touched.push(shard);
    return begun;
  }

  /** What the session has seen of a row; waits for what is still being found out. */
  async seen(row: string): Promise<RowMark | undefined> {
    const pending = this.#pending.get(row);
    if (pending !== undefined) await pending;
    return this.#rows.of(row);
  }

  /** What the session has seen of a row, if that is known without waiting. */
  seenNow(row: string): RowMark | undefined | 'pending' {
    return this.#pending.size > 0 && this.#pending.has(row) ? 'pending' : this.#rows.of(row);
  }

  /** The session has seen a row as it was read at a mark, and reads of its shard are not to go behind it. */
  see(
    row: string,
    mark: RowMark,
    systemIdentifier: string,
    snapshotXmax: bigint | undefined,
  ): void {
    this.#rows.see(row, mark);
    this.on(mark.shard).merge({ systemIdentifier, position: mark.to, snapshotXmax });
  }

  /** The session has written a row, or has read it at the source: its shard's position will tell the mark. */
  didTouch(rows: readonly string[], shard: string): void {
    if (rows.length === 0) return;
    const mark = this.on(shard)
      .position()
      .then(
        ({ position }) =>
          position === undefined ? unknownMark(shard) : { shard, from: position, to: position },
        () => unknownMark(shard),
      );
    for (const row of rows) {
      const settled = mark.then((found) => {
        if (this.#pending.get(row) !== settled) return found;
        this.#pending.delete(row);
        this.#rows.see(row, found);
        return found;
      });
      this.#pending.set(row, settled);
    }
  }

  #sessionOf(pool: object): PoolSession | undefined {
    const shard = this.#context.shardOf.get(pool);
    return shard === undefined ? undefined : this.on(shard);
  }

  #begin(shard: string, pool: ReplicaPool): PoolSession {
    const claimed = this.#claimed.get(hashOf(shard));
    this.#claimed.delete(hashOf(shard));
    if (claimed === undefined) {
      if (this.#othersAtPrimary) return pool.sessionAt(undefined);
      return pool.session(undefined, { willRead: this.#willRead });
    }
    const { floor, isTrusted } = claimed;
    return pool.sessionAt(floor, { isTrusted: isTrusted && !this.#mustClaim });
  }

  /** Slots have moved since the positions were taken: what is on a shard now may have come from another. */
  #follow(): void {
    const epoch = this.#context.epoch();
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    this.#othersAtPrimary = true;
    this.#mustClaim = true;
    for (const [shard, session] of this.#pools) this.#restart(shard, session);
  }

  #restart(shard: string, session: PoolSession): void {
    const pool = this.#context.pools.get(shard);
    if (pool === undefined) return;
    const atPrimary = pool.sessionAt(undefined);
    this.#pools.set(shard, atPrimary);
    const merging = session.position().then(
      (position) => atPrimary.merge(position),
      () => {
        // The primary answers for it: whatever was seen, it holds.
      },
    );
    void merging;
  }

  #takeIn(contents: TokenContents): void {
    const { clock, signingKeys, issuer } = this.#context;
    const nowMs = clock.now();
    const isTrusted = signingKeys.length > 0 && contents.expiresAtMs > nowMs;
    if (contents.hasMoreShards) this.#othersAtPrimary = true;
    if (contents.epoch !== this.#context.epoch()) {
      this.#othersAtPrimary = true;
      this.#mustClaim = true;
    }
    const names = new Map([...this.#context.pools.keys()].map((name) => [hashOf(name), name]));
    for (const floor of contents.shards) this.#claim(floor, isTrusted, names);
    for (const { row, shard, from, to } of contents.rows) {
      const name = names.get(shard);
      if (name !== undefined) this.#rows.merge(row, { shard: name, from, to });
    }
    // This process has heard of everything that it did itself; of what others did, perhaps not yet.
    if (contents.issuer !== issuer || !isTrusted) this.#provenSinceMs = clock.monotonicMs();
  }

  #claim(floor: TokenShard, isTrusted: boolean, names: ReadonlyMap<string, string>): void {
    const name = names.get(floor.shard);
    const isKnown = this.#claimed.has(floor.shard) || (name !== undefined && this.#pools.has(name));
    if (!isKnown) {
      this.#claimed.set(floor.shard, { floor, isTrusted });
      return;
    }
    // A second token speaks of a shard: both hold.
    if (name === undefined) return;
    const session = this.on(name);
    if (isTrusted && !this.#mustClaim) session.merge(floor);
    else this.#restart(name, session);
  }

  /** Shards that were used here, the last first, then those that only the token told of. */
  async #tokenShards(): Promise<TokenShard[]> {
    const used = await Promise.all(
      this.#touched.toReversed().map(async (shard) => {
        const position = await (this.#pools.get(shard) as PoolSession).position();
        return { shard: hashOf(shard), ...position };
      }),
    );
    const known = used.filter(
      ({ position, snapshotXmax }) => position !== undefined || snapshotXmax !== undefined,
    );
    const unused = [...this.#claimed.values()].map(({ floor }) => floor);
    return [...known, ...unused].slice(0, MAX_SHARDS + 1);
  }
}
