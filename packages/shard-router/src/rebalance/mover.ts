/**
 * Runs one move: looks, decides, acts, and begins anew, until the move is over or somebody says stop.
 *
 * Nothing that matters is kept here. The journal and the shards are asked, `decideAction` says what is next, and
 * that is done. What this object remembers between two rounds only saves questions: the records as the last
 * effects have left them (nobody else can change them while the sessions hold the move's lock), and what this
 * process has checked already.
 *
 * A fault that may pass (a lost connection, a lock that was not granted) closes the sessions and begins anew after
 * a pause; one that will not is written into the journal and thrown. Between hold and release it never just stops:
 * first it lets the callers go again.
 */

import { abortedError, isShardlineError, sleep } from '@shardline/core';
import { ChoreRunner } from './chore-runner.js';
import { type ActionFacts, decideAction, type MoveAction } from './decide-action.js';
import { streamLostError, supersededError } from './move-errors.js';
import type { MoveNote } from './move-notes.js';
import type { MoveRow } from './move-row.js';
import { MoveSides } from './move-sides.js';
import { isEndState, isHeldIn, type MoveState, withdrawalFrom } from './move-state.js';
import type { MoveWork } from './move-work.js';
import type { MoverOptions } from './mover-options.js';
import { isPassing } from './passing-faults.js';
import { ProgressTeller, type WaitFor } from './progress-teller.js';
import { RecordReader } from './record-reader.js';
import type { StoredRecord } from './record-store.js';
import { sendOverdueAway } from './retry-locked.js';
import { stepOf } from './steps/index.js';
import { isCopied, lagBytes } from './stream-progress.js';
import { SwitchTimer } from './switch-timer.js';
import { Waiting } from './waiting.js';
import { needWayBack } from './way-back.js';

const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5000;
/** How often transactions are looked for that keep routers from acknowledging. */
const CLEAR_INTERVAL_MS = 500;

/** A process at work at one move. */
export class Mover {
  readonly #options: MoverOptions;
  #row: MoveRow;
  readonly #sides: MoveSides;
  readonly #records: RecordReader;
  readonly #chores: ChoreRunner;
  readonly #progress: ProgressTeller;
  readonly #switchTimer: SwitchTimer;
  readonly #waiting = new Waiting();
  #isSuperseded = false;
  #isDead = false;
  #clearAgainAtMs = Number.NEGATIVE_INFINITY;
  /** A fault that ends this run as soon as nobody waits any more. */
  #failure: { readonly error: unknown } | undefined;

  constructor(row: MoveRow, options: MoverOptions) {
    this.#row = row;
    this.#options = options;
    const work = () => this.#work();
    const note = (facts: MoveNote) => this.#note(facts);
    this.#sides = new MoveSides(options);
    this.#records = new RecordReader(options.catalog.primary, work, () =>
      note({ lastError: streamLostError(row.id).message }),
    );
    this.#chores = new ChoreRunner(options, {
      row: () => this.#row,
      work,
      records: this.#records,
      note,
    });
    this.#progress = new ProgressTeller(options, work, note);
    this.#switchTimer = new SwitchTimer(options.clock);
  }

  get id(): string {
    return this.#row.id;
  }

  /** Somebody else has the move now: whatever this one does next is refused, so it stops. */
  supersede(): void {
    this.#isSuperseded = true;
  }

  /**
   * Works until the move is over, or waits for an operator and is to be left.
   *
   * @throws ShardlineError `ABORTED` at a safe point after the signal; `MOVE_SUPERSEDED`, `MOVE_BLOCKED`,
   * `MOVE_DIFFERS`, `MOVE_STREAM_FAILS`; else what a server said.
   */
  async run(): Promise<MoveRow> {
    try {
      for (let failures = 0; ; ) {
        try {
          if (!(await this.#round())) return this.#row;
          failures = 0;
        } catch (error) {
          this.#closeSessions();
          if (!this.#mayGoOn(error)) throw await this.#failed(error);
          failures += 1;
          await this.#note({ lastError: messageOf(error) });
          await this.#rest(Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LONGEST_RETRY_MS));
        }
      }
    } finally {
      this.#closeSessions();
    }
  }

  /** @returns whether there is more to do. */
  async #round(): Promise<boolean> {
    if (isHeldIn(this.#row.journal.state)) {
      this.#switchTimer.hold();
    } else {
      this.#checkpoint();
      if (this.#failure !== undefined) throw this.#failure.error;
      await this.#reload();
    }
    const action = await this.#decide();
    await this.#progress.tell(this.#row, action);
    if (action.kind === 'nothing') return false;
    if (this.#isLeftOpen(action)) return false;
    if (action.kind !== 'wait') this.#waiting.ends();
    await this.#act(action);
    return true;
  }

  /** The slots are switched, nobody asks for anything, and the caller does not want to sit the window out. */
  #isLeftOpen(action: MoveAction): boolean {
    const { journal, wish } = this.#row;
    const isWaiting = action.kind === 'wait' && action.for === 'wish';
    const isOpen = journal.state === 'reversing' && wish === undefined;
    return this.#options.leaveOpen && isWaiting && isOpen;
  }

  /** Somebody else's move is not gone on with, whatever its row says; the end of one may be tidied by anybody. */
  async #reload(): Promise<void> {
    const { store } = this.#options;
    const row = await store.load(this.#row.id);
    if (row.journal.holder !== store.holder.token && !isEndState(row.journal.state)) {
      throw supersededError(row.id);
    }
    this.#row = row;
  }

  async #decide(): Promise<MoveAction> {
    const { steering, wish } = this.#row;
    // What an operator asks for besides lifts the pause: he who pauses a move must be able to give it up.
    if (steering.isPaused && wish === undefined && mayPause(this.#row))
      return { kind: 'wait', for: 'release' };
    return decideAction(this.#row, await this.#facts());
  }

  async #facts(): Promise<ActionFacts> {
    const { state } = this.#row.journal;
    const { source, destination } = await this.#records.read(this.#row);
    const isStreaming = destination?.hasInbound === true;
    const isFilling = state === 'copying' || state === 'catching_up';
    if (isFilling && destination !== undefined) await this.#throttle();
    const isComplete = isFilling && isStreaming ? await isCopied(await this.#work()) : true;
    return {
      source,
      destination,
      unacknowledged: await this.#records.unacknowledged(this.#row),
      isCopied: isComplete,
      isCaughtUp:
        state === 'catching_up' && isComplete && isStreaming ? await this.#maySwitch() : false,
      isPreflighted: this.#chores.isPreflighted,
      isReverseReady: await this.#records.hasReverse(this.#row, source),
      hasProlongedRoles: this.#chores.hasProlongedRoles,
      hasAdvancedSequences: this.#chores.hasAdvancedSequences,
      hasRehearsed: this.#chores.hasRehearsed,
      hasStatistics: this.#chores.hasStatistics,
      isVerified: this.#chores.isVerified,
      isHeldBack: isFilling && this.#progress.isHeldBack,
      isSwitchHeld: this.#row.steering.isCutOverHeld || this.#switchTimer.isTooEarly(),
      wish: this.#wish(),
    };
  }

  /**
   * Whether the work begins anew after a fault. While callers wait it does in any case: to let them go, or, once the
   * owner is another one, to finish.
   */
  #mayGoOn(error: unknown): boolean {
    if (this.#isDead || this.#isSuperseded || isShardlineError(error, 'MOVE_SUPERSEDED')) {
      return false;
    }
    if (isPassing(error)) return true;
    if (!isHeldIn(this.#row.journal.state)) return false;
    this.#failure ??= { error };
    return true;
  }

  /** What an operator asks for, and what time asks for. */
  #wish(): ActionFacts['wish'] {
    const { wish, journal, rollbackLeftMs } = this.#row;
    const heldMs = this.#switchTimer.heldMs();
    if (heldMs !== undefined && withdrawalFrom(journal.state) !== undefined) {
      const isTooLong = heldMs > this.#options.limits.pauseTimeoutMs;
      if (wish !== 'abort' && (isTooLong || this.#failure !== undefined)) return 'withdraw';
    }
    if (wish === 'roll-back' && this.#switchTimer.isTooEarly()) return undefined;
    if (journal.state === 'reversing' && wish === undefined && (rollbackLeftMs ?? 0) <= 0) {
      return this.#options.leaveOpen ? undefined : 'finish';
    }
    return wish;
  }

  async #maySwitch(): Promise<boolean> {
    if (this.#progress.isHeldBack) return false;
    return (await lagBytes(await this.#work())) <= this.#options.limits.switchLagBytes;
  }

  async #act(action: MoveAction): Promise<void> {
    switch (action.kind) {
      case 'advance':
        return this.#advance(action.to);
      case 'effect': {
        await this.#at(`before ${action.effect.kind} on ${action.on}`);
        // What was compared before was another copy: this one is made because that one's stream was lost.
        if (action.effect.kind === 'create-inbound' && action.effect.copies) {
          this.#chores.forgetCopy();
        }
        const step = stepOf(action.effect.kind);
        const known = this.#records.known[action.on] as StoredRecord;
        const record = await step.run(await this.#work(), action.on, action.effect, known);
        await this.#at(`after ${action.effect.kind} on ${action.on}`);
        this.#records.remember(action.on, record);
        return;
      }
      case 'wait':
        return this.#wait(action.for);
      case 'nothing':
        return;
      default:
        await this.#at(`before ${action.kind}`);
        await this.#chores.run(action);
        this.#records.forget();
        await this.#at(`after ${action.kind}`);
    }
  }

  async #advance(to: MoveState): Promise<void> {
    await this.#at(`before ${to}`);
    if (to === 'rollback_fencing') await needWayBack(await this.#work(), this.#options.store);
    const from = this.#row.journal.state;
    const wasHeld = isHeldIn(from);
    this.#row = await this.#options.store.advance(this.#row, to);
    await this.#at(`after ${to}`);
    const isHeld = isHeldIn(to);
    if (!wasHeld && isHeld) this.#switchTimer.hold();
    if (wasHeld && !isHeld) await this.#released(from);
    if (to === 'reversing') await this.#note({ rollbackMs: this.#options.limits.rollbackWindowMs });
    this.#options.onProgress?.(this.#row);
  }

  async #released(from: MoveState): Promise<void> {
    const pauseMs = this.#switchTimer.release();
    if (from !== 'withdrawing' && from !== 'rollback_withdrawing') {
      return this.#note({ pauseMs });
    }
    const delayMs = this.#switchTimer.withdraw();
    if (this.#row.wish === 'abort' || this.#failure !== undefined) return;
    await this.#note({
      lastError: `The switch was not made within ${this.#options.limits.pauseTimeoutMs} ms, so callers were let go; it is tried again in ${Math.round(delayMs / 1000)} s.`,
    });
  }

  async #wait(what: WaitFor): Promise<void> {
    if (what === 'barrier') this.#records.forget();
    if (what === 'routers') await this.#clearTheWay();
    await this.#rest(this.#waiting.waits(what, this.#options.clock.monotonicMs()));
  }

  /** What keeps routers from acknowledging a hold may be what would keep the fence from being set. */
  async #clearTheWay(): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs < this.#clearAgainAtMs) return;
    this.#clearAgainAtMs = nowMs + CLEAR_INTERVAL_MS;
    const { state } = this.#row.journal;
    const work = await this.#work();
    if (state === 'fencing') await sendOverdueAway(work, work.source);
    if (state === 'rollback_fencing') await sendOverdueAway(work, work.destination);
  }

  async #work(): Promise<MoveWork> {
    const { context, limits } = this.#options;
    return {
      row: this.#row,
      context,
      limits,
      ...(await this.#sides.open(this.#row)),
      checkpoint: async () => this.#checkpoint(),
    };
  }

  #closeSessions(): void {
    this.#sides.close();
    this.#records.forget();
    this.#chores.forgetRehearsal();
    this.#progress.forgetFailures();
  }

  /** Where the work may be given up: nothing is half done, and nobody waits. */
  #checkpoint(): void {
    if (this.#isSuperseded) throw supersededError(this.#row.id);
    const { signal } = this.#options;
    if (signal.aborted && !isHeldIn(this.#row.journal.state)) {
      throw abortedError(`Move '${this.#row.id}'`, signal.reason);
    }
  }

  async #rest(delayMs: number): Promise<void> {
    const isHeld = isHeldIn(this.#row.journal.state);
    await sleep(delayMs, {
      signal: isHeld ? undefined : this.#options.signal,
      clock: this.#options.clock,
      doing: `Move '${this.#row.id}'`,
    });
  }

  /** Waiting may make it worse for others than giving up. */
  async #throttle(): Promise<void> {
    const givenUp = await this.#progress.throttle(this.#row);
    if (givenUp === undefined || this.#row.wish === 'abort') return;
    await this.#note({ lastError: givenUp.cause ?? null });
    this.#row = await this.#options.store.ask(this.#row.id, { wish: 'abort' });
  }

  async #note(facts: MoveNote): Promise<void> {
    await this.#options.store.note(this.#row, facts).catch((error: unknown) => {
      // Nothing is decided by it; if the catalog is away, the next round finds that out.
      if (!isPassing(error)) throw error;
    });
  }

  async #failed(error: unknown): Promise<unknown> {
    const isOver = this.#isDead || this.#options.signal.aborted;
    if (isOver || isShardlineError(error, 'MOVE_SUPERSEDED')) return error;
    await this.#note({ lastError: messageOf(error) });
    return error;
  }

  async #at(point: string): Promise<void> {
    try {
      await this.#options.failpoint?.(point);
    } catch (error) {
      this.#isDead = true;
      throw error;
    }
  }
}

function mayPause({ journal }: MoveRow): boolean {
  return !isHeldIn(journal.state) && !isEndState(journal.state);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
