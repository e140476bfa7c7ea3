import type { Clock } from '@shardline/core';
import type { PoolSession, ReplicaPool } from '@shardline/pool';
import { type LoadFloor, laterFloor } from './freshness.js';
import { RecentFloors } from './recent-floors.js';

/** A session of one shard's pool for one load, and the position that it began at. */
export interface LoadSession {
  readonly session: PoolSession;
  readonly from: LoadFloor;
}

/**
 * Sessions for loads: each begins at the latest of what the cache's mark asks for, what every load must have
 * reached (`recent-floors.ts`), and what all servers in use are known to have reached. The last costs nothing
 * to ask for, and makes the row's mark as narrow as it can be without another question.
 */
export class ShardFloors {
  readonly #pools: ReadonlyMap<string, ReplicaPool>;
  readonly #clock: Clock;
  readonly #epoch: () => number;
  #recent = new Map<string, RecentFloors>();
  #recentEpoch: number;

  /** @param epoch of the topology in force. */
  constructor(pools: ReadonlyMap<string, ReplicaPool>, epoch: () => number, clock: Clock) {
    this.#pools = pools;
    this.#epoch = epoch;
    this.#clock = clock;
    this.#recentEpoch = epoch();
  }

  /** A session for a load on a shard. */
  async begin(shard: string, wanted: LoadFloor | undefined): Promise<LoadSession> {
    const pool = this.#pool(shard);
    const floor =
      laterFloor(laterFloor(wanted, this.#recentOf(shard, pool).floor()), pool.reachedPosition) ??
      'now';
    if (floor !== 'now') return { session: pool.sessionAt(floor), from: floor };
    const session = pool.sessionAt(undefined);
    return { session, from: await session.position() };
  }

  /**
   * Positions of before a switch say nothing of the rows that came with it: a replica may have reached them and
   * not the rows. So they are forgotten, and each shard is asked anew.
   */
  #recentOf(shard: string, pool: ReplicaPool): RecentFloors {
    const epoch = this.#epoch();
    if (epoch !== this.#recentEpoch) {
      this.#recentEpoch = epoch;
      this.#recent = new Map();
    }
    let recent = this.#recent.get(shard);
    if (recent === undefined) {
      recent = new RecentFloors(() => pool.sessionAt(undefined).position(), this.#clock);
      this.#recent.set(shard, recent);
    }
    return recent;
  }

  #pool(shard: string): ReplicaPool {
    const pool = this.#pools.get(shard);
    if (pool === undefined) throw new Error(`The data layer has no shard '${shard}'.`);
    return pool;
  }
}
