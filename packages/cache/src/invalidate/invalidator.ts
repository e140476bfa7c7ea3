import { type Clock, type ScheduledCall, ShardlineError } from '@shardline/core';
import type { Bus } from '../bus/bus.js';
import { cacheErrors } from '../errors.js';
import type { Addresses } from '../keys.js';
import type { Level } from '../read/level.js';
import { Tracing } from '../tracing.js';
import type { Pending } from './pending.js';
import { ANY_TAG_STAMP, isTagStamp } from './tag-stamp.js';

/**
 * The order of invalidation.
 *
 *     own L1 -> L3 -> L2 -> bus -> own L1 again -> edge
 *
 * From the source upwards: were L2 emptied before L3, a reader could promote the old value from L3 into L2
 * after its turn. The bus comes last, so that whoever hears of it finds the old value nowhere. Own L1
 * goes first, for the caller's own next read, and once more at the end, for a fill that began in between. An
 * edge is purged last and not waited for (`edge/purge-queue.ts`).
 *
 * It is acknowledged when every step has been done. What fails is kept, with the whole order to be run
 * again, not only the step that failed: by then a reader may have promoted from the tier that was late.
 */
export interface InvalidationTarget {
  readonly name: string;
  readonly addresses: Addresses;
  readonly isStrict: boolean;
  readonly boundMs: number;
  /** The freshness mark of invalidations that give none. */
  readonly freshness: string | undefined;
  /** How long a tombstone must outlive the replicas' lag, in milliseconds. */
  readonly tombstoneMs: number;
  /** Nearest first. */
  readonly levels: readonly Level[];
  readonly bus: Bus | undefined;
  readonly pending: Pending;
  /** Drops from this process's memory. */
  dropLocally(keys: readonly string[], stamps: readonly string[]): void;
}

/** What is to be invalidated in one namespace. */
export interface InvalidationTask {
  readonly target: InvalidationTarget;
  readonly keys: readonly string[];
  readonly stamps: readonly string[];
  /** A mark for the keys. @default the target's */
  readonly freshness?: string | undefined;
}

/** What became of an invalidation. */
export interface InvalidationReport {
  /** True: no tier holds the old value, and no process fills it again. */
  readonly acknowledged: boolean;
  /** Tiers that have not taken it yet; it is repeated until they have. */
  readonly waitingFor: readonly string[];
}

const REPLAY_MS = 250;
const ACKNOWLEDGED: InvalidationReport = { acknowledged: true, waitingFor: [] };

export class Invalidator {
  readonly #clock: Clock;
  readonly #behind = new Set<InvalidationTarget>();
  #replay: ScheduledCall | undefined;
  #isClosed = false;

  constructor(
    clock: Clock,
    private readonly tracing = new Tracing(),
    /** Purges the edges of what was invalidated. */
    readonly purgeEdge: (task: InvalidationTask) => void = () => {},
  ) {
    this.#clock = clock;
  }

  /** Invalidations that wait for a tier. */
  get pendingCount(): number {
    let count = 0;
    for (const { pending } of this.#behind) count += pending.size;
    return count;
  }

  /** @throws ShardlineError `CACHE_INVALIDATION_QUEUED` if a strict namespace could not be reached. */
  async run(tasks: readonly InvalidationTask[]): Promise<InvalidationReport> {
    const waiting = new Map<string, unknown>();
    await Promise.all(
      tasks.map((task) =>
        this.tracing.run('invalidate', task.target.name, () => this.#runOne(task, waiting)),
      ),
    );
    if (waiting.size === 0) return ACKNOWLEDGED;
    const strict = tasks.find(({ target }) => target.isStrict && target.pending.size > 0);
    const waitingFor = [...waiting.keys()];
    if (strict === undefined) return { acknowledged: false, waitingFor };
    throw new ShardlineError(
      cacheErrors.CACHE_INVALIDATION_QUEUED,
      `The invalidation of namespace '${strict.target.name}' has not reached ${waitingFor.join(', ')}.`,
      { cause: [...waiting.values()][0], details: { waitingFor } },
    );
  }

  /** Tries what is pending once more. */
  async replay(): Promise<void> {
    for (const target of this.#behind) {
      const taken = target.pending.take();
      const failed = new Map<string, unknown>();
      for (const batch of taken.batches) await this.#steps({ target, ...batch }, failed);
      if (failed.size === 0) target.pending.done(taken);
      if (target.pending.size === 0) this.#behind.delete(target);
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#replay?.cancel();
  }

  async #runOne(task: InvalidationTask, waiting: Map<string, unknown>): Promise<void> {
    const { target, keys, stamps, freshness } = task;
    if (keys.length === 0 && stamps.length === 0) return;
    const failed = new Map<string, unknown>();
    await this.#steps(task, failed);
    if (failed.size === 0) return;
    target.pending.add(keys, stamps, freshness ?? target.freshness);
    this.#behind.add(target);
    this.#scheduleReplay();
    for (const [name, error] of failed) waiting.set(name, error);
  }

  async #steps(task: InvalidationTask, failed: Map<string, unknown>): Promise<void> {
    const { target, keys, stamps } = task;
    target.dropLocally(keys, stamps);
    for (const level of target.levels.toReversed()) {
      await attempt(failed, level.tier.name, () => invalidateLevel(level, task));
    }
    if (target.bus !== undefined) {
      const { bus } = target;
      await attempt(failed, 'bus', () => bus.publish({ namespace: target.name, keys, stamps }));
    }
    target.dropLocally(keys, stamps);
    this.purgeEdge(task);
  }

  #scheduleReplay(): void {
    if (this.#isClosed || this.#replay !== undefined) return;
    this.#replay = this.#clock.schedule(REPLAY_MS, async () => {
      await this.replay();
      this.#replay = undefined;
      if (this.#behind.size > 0) this.#scheduleReplay();
    });
  }
}

async function attempt(
  failed: Map<string, unknown>,
  name: string,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    failed.set(name, error);
  }
}

async function invalidateLevel(level: Level, task: InvalidationTask): Promise<void> {
  const { target, keys, stamps } = task;
  const freshness = task.freshness ?? target.freshness;
  if (stamps.some(isTagStamp)) {
    // Before the tags themselves: whoever sees it unchanged after a load knows that no tag changed.
    await level.tier.bumpStamps([target.addresses.stamp(ANY_TAG_STAMP)]);
  }
  await Promise.all([
    keys.length === 0
      ? undefined
      : level.tier.invalidate(
          keys.map((key) => target.addresses.value(key)),
          freshness === undefined ? undefined : { freshness, ttlMs: target.tombstoneMs },
        ),
    stamps.length === 0
      ? undefined
      : level.tier.bumpStamps(stamps.map((name) => target.addresses.stamp(name))),
  ]);
}
