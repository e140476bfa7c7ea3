/**
 * Ids of a process whose worker number is leased from the catalog and renewed while it runs.
 *
 * The lease is renewed when a third of it has gone. If the catalog is away, ids can be made until the range of time that was
 * granted is used up, and then no more: two processes with one number would be worse than an error.
 */

import { randomUUID } from 'node:crypto';
import {
  type Clock,
  type Duration,
  durationMs,
  ShardlineError,
  systemClock,
} from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { Queryable } from '../shard/queryable.js';
import leaseWorkerSql from '../topology/sql/lease-worker.sql';
import { SlotIdGenerator, type WorkerLease, workerLimit } from './slot-id.js';

/** How worker numbers are leased. */
export interface SlotIdOptions {
  /** The catalog. */
  readonly catalog: Queryable;
  /** Slots of the keyspace whose slots the ids carry. */
  readonly slots: number;
  /** For how long ids can be made without the catalog. @default '60s' */
  readonly lease?: Duration;
  readonly clock?: Clock;
}

/** Makes ids; give it back with `close`. */
export interface SlotIds extends AsyncDisposable {
  /** The next id of a slot. @throws ShardlineError `ID_INVALID` when the lease has ended. */
  next(slot: number): bigint;
  /** Gives the worker number back. */
  close(): Promise<void>;
}

/**
 * Leases a worker number and makes ids with it.
 *
 * @throws ShardlineError `ID_INVALID` if all worker numbers are taken.
 *
 * @example
 * ```ts
 * import { createSlotIds, readSlotId } from '@shardline/shard-router';
 * import pg from 'pg';
 *
 * const catalog = new pg.Pool({ connectionString: 'postgres://app@catalog/shardline' });
 * await using ids = await createSlotIds({ catalog, slots: 4096 });
 * const id = ids.next(1234);
 * readSlotId(id, 4096).slot; // 1234
 * ```
 */
export async function createSlotIds(options: SlotIdOptions): Promise<SlotIds> {
  const { catalog, slots, clock = systemClock } = options;
  const leaseMs = durationMs(options.lease ?? '60s');
  const holder = randomUUID();
  const renew = () => leaseWorker(catalog, holder, slots, leaseMs, clock);
  const generator = new SlotIdGenerator(slots, await renew(), () => clock.now());
  let isClosed = false;
  const schedule = () =>
    clock.schedule(leaseMs / 3, () => {
      void renew()
        .then((lease) => generator.renew(lease))
        .catch(() => {
          // The range that was granted still stands; `next` says so when it is used up.
        })
        .finally(() => {
          if (!isClosed) timer = schedule();
        });
    });
  let timer = schedule();
  const close = async () => {
    isClosed = true;
    timer.cancel();
    await catalog.query(
      // Whoever has the number next goes on right after the last id.
      'UPDATE shardline.worker SET lease_until = clock_timestamp(), used_until_ms = $2 WHERE holder = $1',
      [holder, generator.unusedFromMs],
    );
  };
  return {
    next: (slot) => {
      if (isClosed) throw new ShardlineError(routerErrors.ID_INVALID, 'The ids were closed.');
      return generator.next(slot);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function leaseWorker(
  catalog: Queryable,
  holder: string,
  slots: number,
  leaseMs: number,
  clock: Clock,
): Promise<WorkerLease> {
  // Two who reach for one number at the same moment: the second is told nothing and tries the next.
  for (let attempt = 0; attempt < workerLimit(slots); attempt += 1) {
    const { rows } = await catalog.query<{ id: number; fromMs: string; untilMs: string }>(
      leaseWorkerSql,
      [holder, workerLimit(slots), leaseMs, clock.now()],
    );
    const row = rows[0];
    if (row !== undefined) {
      return { worker: row.id, fromMs: Number(row.fromMs), untilMs: Number(row.untilMs) };
    }
  }
  throw new ShardlineError(
    routerErrors.ID_INVALID,
    `All ${workerLimit(slots)} worker numbers are taken.`,
    { retryable: true },
  );
}
