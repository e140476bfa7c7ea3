/**
 * Runs moves side by side: as many as the budget allows, never two that share a shard, each under a lease that is
 * renewed while it runs.
 *
 * The lease is renewed apart from the work, so that a long step does not lose it; if it could not be renewed in time,
 * somebody else may have the move, and the mover here is told to stop. That is a courtesy: what it would do is refused.
 */

import { type Clock, isShardlineError, type ScheduledCall, sleep } from '@shardline/core';
import type { JournalStore } from './journal-store.js';
import type { MoveRow } from './move-row.js';
import { isEndState } from './move-state.js';
import { Mover } from './mover.js';
import type { MoverOptions } from './mover-options.js';

/** How moves are run. */
export interface RunOptions {
  readonly signal: AbortSignal;
  readonly leaveOpen: boolean;
  readonly onProgress?: ((row: MoveRow) => void) | undefined;
}

/** What the coordinator needs of its owner. */
export interface CoordinatorOptions {
  readonly store: JournalStore;
  readonly parallelMoves: number;
  readonly clock: Clock;
  /** Everything of a mover that depends on the move. */
  readonly moverOptions: (
    row: MoveRow,
  ) => Promise<Omit<MoverOptions, 'signal' | 'leaveOpen' | 'onProgress'>>;
}

interface RunningMove {
  mover: Mover | undefined;
  /** The end of somebody else's move is tidied without a lease: there is none to lose. */
  readonly isLeased: boolean;
  promise: Promise<void>;
}

/** How often a move that another process runs is looked at. */
const LOOK_MS = 200;

/** Moves at work in this process. */
export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #running = new Map<string, RunningMove>();
  #renewal: ScheduledCall | undefined;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
  }

  /** Runs moves until each is over or waits to be asked. The first that fails ends the others at a safe point. */
  async runAll(rows: readonly MoveRow[], run: RunOptions): Promise<void> {
    const waiting = [...rows];
    const busy = new Set<string>();
    const active = new Set<Promise<void>>();
    const stop = new AbortController();
    const signal = AbortSignal.any([run.signal, stop.signal]);
    let failure: { error: unknown } | undefined;
    const begin = (row: MoveRow) => {
      const shards = [row.journal.source, row.journal.destination];
      for (const shard of shards) busy.add(shard);
      const work: Promise<void> = this.settle(row.id, { ...run, signal })
        .then(
          () => {},
          (error: unknown) => {
            failure ??= { error };
            stop.abort(error);
          },
        )
        .finally(() => {
          for (const shard of shards) busy.delete(shard);
          active.delete(work);
        });
      active.add(work);
    };
    while (waiting.length > 0 || active.size > 0) {
      while (failure === undefined && active.size < this.#options.parallelMoves) {
        const next = waiting.findIndex(
          ({ journal }) => !busy.has(journal.source) && !busy.has(journal.destination),
        );
        if (next < 0) break;
        begin(waiting.splice(next, 1)[0] as MoveRow);
      }
      if (active.size === 0) break;
      await Promise.race(active);
    }
    if (failure !== undefined) throw failure.error;
  }

  /** Sees to it that a move goes on until it is over or waits to be asked, whoever runs it. */
  async settle(id: string, run: RunOptions): Promise<MoveRow> {
    for (;;) {
      const here = this.#running.get(id);
      if (here !== undefined) await here.promise;
      const row = await this.#options.store.load(id);
      if (row.isTidied) return row;
      if (run.leaveOpen && isWaiting(row)) return row;
      if (row.leaseLeftMs > 0 && row.journal.holder !== this.#options.store.holder.token) {
        run.onProgress?.(row);
        await sleep(LOOK_MS, {
          signal: run.signal,
          clock: this.#options.clock,
          doing: `Waiting for move '${id}', which ${row.holderName} runs,`,
        });
        continue;
      }
      if (!this.#running.has(id)) await this.#run(row, run);
    }
  }

  /** Resolves when nothing runs here any more; whoever asked for it has given the signal. */
  async idle(): Promise<void> {
    await Promise.allSettled([...this.#running.values()].map(({ promise }) => promise));
  }

  /** Known as running from here on, before anything is waited for: two callers must not begin the same move. */
  #run(row: MoveRow, run: RunOptions): Promise<void> {
    const running: RunningMove = {
      mover: undefined,
      isLeased: !isEndState(row.journal.state),
      promise: Promise.resolve(),
    };
    running.promise = this.#take(row, run, running).finally(async () => {
      this.#running.delete(row.id);
      if (this.#running.size === 0) this.#renewal?.cancel();
      await this.#options.store.letGo([row.id]).catch(() => {
        // The lease ends by itself.
      });
    });
    this.#running.set(row.id, running);
    this.#scheduleRenewal();
    return running.promise;
  }

  async #take(row: MoveRow, run: RunOptions, running: RunningMove): Promise<void> {
    const { store, moverOptions } = this.#options;
    try {
      const taken = running.isLeased ? await store.takeOver(row.id) : row;
      running.mover = new Mover(taken, { ...(await moverOptions(taken)), ...run });
    } catch (error) {
      // Somebody was faster: it is his now, and the next look waits for him.
      if (isShardlineError(error, 'MOVE_HELD') || isShardlineError(error, 'MOVE_SUPERSEDED'))
        return;
      throw error;
    }
    await running.mover.run();
  }

  #scheduleRenewal(): void {
    this.#renewal?.cancel();
    const { store, clock } = this.#options;
    this.#renewal = clock.schedule(store.holder.leaseMs / 3, () => {
      void this.#renew().finally(() => {
        if (this.#running.size > 0) this.#scheduleRenewal();
      });
    });
  }

  async #renew(): Promise<void> {
    // What is being taken over just now has not been this holder's yet, so it cannot be lost either.
    const isKept = ({ isLeased, mover }: RunningMove) => isLeased && mover !== undefined;
    const ids = [...this.#running].flatMap(([id, move]) => (isKept(move) ? [id] : []));
    const kept = await this.#options.store.renew(ids).catch(() => ids);
    for (const id of ids) if (!kept.includes(id)) this.#running.get(id)?.mover?.supersede();
  }
}

function isWaiting({ journal, wish }: MoveRow): boolean {
  return journal.state === 'reversing' && wish === undefined;
}
