/**
 * Connections to shards that are about to join, dialled before slots are theirs.
 *
 * A shard that owns nothing yet has no callers, and so no connections. Without this, all who waited for the switch would wait
 * again for dials to a server that is as busy as it ever will be: on a full machine of two cores, a third of a second
 * in which hardly any write came through, after a pause of a tenth. The topology says which shards hold rows in transit,
 * long before the switch; from then on a router keeps as many connections there as the busiest owner needs.
 *
 * It is a courtesy and nothing rests on it. Dials come one after another, so that they take little from those who are
 * served; they end when the shard owns slots or somebody waits for a connection; and a shard that cannot be reached
 * is left to whoever needs it, who is then told.
 */

import { answerWithin, type Clock, type ScheduledCall } from '@shardline/core';
import type pg from 'pg';
import type { Topology } from '../topology/topology.js';
import { releaseLate } from './release-late.js';
import type { Shard } from './shard.js';

/** What a warm-up needs of its router. */
export interface WarmUpOptions {
  readonly shards: ReadonlyMap<string, Shard>;
  readonly topology: () => Topology;
  readonly clock: Clock;
}

/** Less than the ten seconds after which pools give idle connections up. */
const AGAIN_MS = 5000;
const DIAL_TIMEOUT_MS = 5000;

/** Shards that hold rows in transit and own no slot of any keyspace. */
export function joiningShards(topology: Topology): string[] {
  const keyspaces = [...topology.keyspaces.values()];
  const owning = new Set(keyspaces.flatMap((keyspace) => keyspace.owningShards()));
  return topology.shards
    .map(({ name }) => name)
    .filter((name) => !owning.has(name))
    .filter((name) => keyspaces.some((keyspace) => keyspace.transitSlots(name).size > 0));
}

/** Keeps connections to shards that are about to join. */
export class WarmUp {
  readonly #options: WarmUpOptions;
  readonly #underWay = new Set<string>();
  #timer: ScheduledCall | undefined;
  #isClosed = false;

  constructor(options: WarmUpOptions) {
    this.#options = options;
  }

  /** To be called whenever a topology has come into force. */
  look(): void {
    this.#timer?.cancel();
    if (this.#isClosed) return;
    const { topology, shards, clock } = this.#options;
    const joining = joiningShards(topology());
    for (const name of joining) {
      const shard = shards.get(name);
      if (shard !== undefined) void this.#warm(shard);
    }
    // A copy may take hours, and connections that nobody uses are given up.
    if (joining.length > 0) this.#timer = clock.schedule(AGAIN_MS, () => this.look());
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  async #warm(shard: Shard): Promise<void> {
    if (this.#underWay.has(shard.name)) return;
    this.#underWay.add(shard.name);
    const lent: pg.PoolClient[] = [];
    try {
      await this.#inTime(shard, () => shard.ensureChecked());
      const wanted = this.#wantedAt(shard);
      while (lent.length < wanted && this.#isWanted(shard)) lent.push(await this.#borrow(shard));
    } catch {
      // Whoever needs the shard finds the same, and is told.
    } finally {
      for (const client of lent) client.release();
      this.#underWay.delete(shard.name);
    }
  }

  /** As many as the owner with the most has, as far as the pool of this shard may grow. */
  #wantedAt({ pool }: Shard): number {
    const { topology, shards } = this.#options;
    const owning = [...topology().keyspaces.values()].flatMap((keyspace) =>
      keyspace.owningShards(),
    );
    const busiest = Math.max(0, ...owning.map((name) => shards.get(name)?.pool.totalCount ?? 0));
    // Any pool with `query`, `connect` and `end` will do; one that tells nothing of itself is left alone.
    return Math.min(busiest, pool.options?.max ?? 0);
  }

  #isWanted({ name, pool }: Shard): boolean {
    const isJoining = joiningShards(this.#options.topology()).includes(name);
    return !this.#isClosed && isJoining && pool.waitingCount === 0;
  }

  /** A connection that has served once: until then a pool with replicas has not chosen a server for it. */
  async #borrow(shard: Shard): Promise<pg.PoolClient> {
    const connecting = shard.pool.connect();
    try {
      return await this.#inTime(shard, async () => {
        const client = await connecting;
        await client.query({ text: 'SELECT 1', target: 'primary' } as pg.QueryConfig);
        return client;
      });
    } catch (error) {
      releaseLate(connecting);
      throw error;
    }
  }

  /** A pool may have been made without any time to dial in. */
  #inTime<T>({ name }: Shard, work: () => Promise<T>): Promise<T> {
    const doing = `Connecting to '${name}', which is about to join`;
    const { clock } = this.#options;
    return answerWithin({ timeoutMs: DIAL_TIMEOUT_MS, doing, clock }, work);
  }
}
