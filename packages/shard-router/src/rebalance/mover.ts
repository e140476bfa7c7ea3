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

import { abortedError, type Clock, isShardlineError, ShardlineError, sleep } from '@shardline/core';
import { routerErrors } from '../errors.js';
import { unacknowledgedRouters } from '../topology/catalog.js';
import { replaceGuardFunction } from '../topology/ownership.js';
import type { Topology } from '../topology/topology.js';
import type { TableEstimate } from './copy-progress.js';
import { type ActionFacts, decideAction, type MoveAction } from './decide-action.js';
import type { Finding } from './finding.js';
import { type CopiedSoFar, holdBack, THROTTLE_MS } from './hold-back.js';
import { type JournalStore, type MoveRow, supersededError } from './journal-store.js';
import type { MoveContext } from './move-context.js';
import { MoveSession } from './move-session.js';
import {
  isEndState,
  isHeldIn,
  type MoveRole,
  type MoveState,
  withdrawalFrom,
} from './move-state.js';
import type { MoveSide, MoveWork } from './move-work.js';
import { isPassing } from './passing-faults.js';
import { preflightMove } from './preflight.js';
import type { FilledMoveLimits } from './rebalancer-options.js';
import { closeRecord, loadRecord, openRecord, type StoredRecord } from './record-store.js';
import { sendOverdueAway } from './retry-locked.js';
import { advanceSequences } from './sequences.js';
import type { ShardLink } from './shard-link.js';
import type { MoveProgress } from './status.js';
import { stepOf } from './steps/index.js';
import { isReverseReady, prepareReverse, takeOff } from './steps/streams.js';
import { closeOutbound, isSlotAlive } from './stream.js';
import { streamName } from './stream-names.js';
import {
  estimateTables,
  isCopied,
  lagBytes,
  readProgress,
  settleStream,
  streamLostError,
} from './stream-progress.js';
import { setTransit, writeTransit } from './transit.js';
import { verifyMove } from './verify-rows.js';
import { needWayBack } from './way-back.js';

/** What a mover is given. */
export interface MoverOptions {
  readonly store: JournalStore;
  readonly catalog: ShardLink;
  readonly source: ShardLink;
  readonly destination: ShardLink;
  readonly peers: { readonly source: string; readonly destination: string };
  readonly context: MoveContext;
  readonly limits: FilledMoveLimits;
  readonly clock: Clock;
  readonly loadTopology: () => Promise<Topology>;
  readonly referenceTables: readonly { readonly schema: string; readonly name: string }[];
  readonly signal: AbortSignal;
  /** Whether to stay until the rollback window has ended. */
  readonly leaveOpen: boolean;
  readonly onProgress?: ((row: MoveRow) => void) | undefined;
  /** For tests: called before and after each change of the journal and each effect. If it throws, the mover is dead. */
  readonly failpoint?: ((at: string) => void | Promise<void>) | undefined;
}

/** Pauses of the loop while there is nothing to do, by what is waited for. */
const WAIT_MS = {
  copy: 200,
  stream: 100,
  release: 100,
  routers: 2,
  barrier: 1,
  wish: 250,
} as const;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5000;
/** How often transactions are looked for that keep routers from acknowledging. */
const CLEAR_INTERVAL_MS = 500;
/** After a switch that was withdrawn: whatever kept it from being made may take a while. */
const FIRST_SWITCH_RETRY_MS = 1000;
const LONGEST_SWITCH_RETRY_MS = 60_000;
/** How far the destination's sequences are set ahead of the source's, which go on until the switch. */
const SEQUENCE_MARGIN = 10_000;
/** For how long that margin is taken to last. A switch begins within it, or they are advanced again. */
const SEQUENCES_MS = 10_000;
/** The journal is told of progress no more often than this. */
const NOTE_MS = 1000;

/** A process at work at one move. */
export class Mover {
  readonly #options: MoverOptions;
  #row: MoveRow;
  #sides: { source: MoveSide; destination: MoveSide } | undefined;
  #records: { source: StoredRecord | undefined; destination: StoredRecord | undefined } | undefined;
  #isPreflighted = false;
  #sequencesAtMs = Number.NEGATIVE_INFINITY;
  #isReverseReady = false;
  #isVerified = false;
  #isSuperseded = false;
  #isDead = false;
  #heldSinceMs: number | undefined;
  #clearAgainAtMs = 0;
  /** A fault that ends this run as soon as nobody waits any more. */
  #failure: { readonly error: unknown } | undefined;
  #withdrawals = 0;
  #switchAgainAtMs = Number.NEGATIVE_INFINITY;
  #notedAtMs = Number.NEGATIVE_INFINITY;
  #throttledAtMs = Number.NEGATIVE_INFINITY;
  #estimates: readonly TableEstimate[] | undefined;
  #copied: CopiedSoFar | undefined;
  /** Why the copy is held back, if it is. */
  #heldBack: string | undefined;

  constructor(row: MoveRow, options: MoverOptions) {
    this.#row = row;
    this.#options = options;
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
   * `MOVE_DIFFERS`; else what a server said.
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
      this.#heldSinceMs ??= this.#options.clock.monotonicMs();
    } else {
      this.#checkpoint();
      if (this.#failure !== undefined) throw this.#failure.error;
      await this.#reload();
    }
    const action = await this.#decide();
    await this.#tell(action);
    if (action.kind === 'nothing') return false;
    if (this.#isLeftOpen(action)) return false;
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
    const { source, destination } = await this.#readRecords();
    const isStreaming = destination?.hasInbound === true;
    const isFilling = isStreaming && (state === 'copying' || state === 'catching_up');
    if (isFilling) await this.#throttle(await this.#work());
    const isComplete = isFilling ? await isCopied(await this.#work()) : true;
    return {
      source,
      destination,
      unacknowledged: await this.#unacknowledged(),
      isCopied: isComplete,
      isCaughtUp:
        state === 'catching_up' && isComplete && isStreaming ? await this.#maySwitch() : false,
      isPreflighted: this.#isPreflighted,
      isReverseReady: await this.#hasReverse(source),
      hasAdvancedSequences: this.#options.clock.monotonicMs() - this.#sequencesAtMs < SEQUENCES_MS,
      isVerified: this.#isVerified || !this.#options.limits.verify,
      isSwitchHeld:
        this.#row.steering.isCutOverHeld ||
        this.#options.clock.monotonicMs() < this.#switchAgainAtMs,
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
    if (this.#heldSinceMs !== undefined && withdrawalFrom(journal.state) !== undefined) {
      const heldMs = this.#options.clock.monotonicMs() - this.#heldSinceMs;
      const isTooLong = heldMs > this.#options.limits.pauseTimeoutMs;
      if (wish !== 'abort' && (isTooLong || this.#failure !== undefined)) return 'withdraw';
    }
    if (wish === 'roll-back' && this.#options.clock.monotonicMs() < this.#switchAgainAtMs) {
      return undefined;
    }
    if (journal.state === 'reversing' && wish === undefined && (rollbackLeftMs ?? 0) <= 0) {
      return this.#options.leaveOpen ? undefined : 'finish';
    }
    return wish;
  }

  async #maySwitch(): Promise<boolean> {
    if (this.#heldBack !== undefined) return false;
    return (await lagBytes(await this.#work())) <= this.#options.limits.switchLagBytes;
  }

  async #hasReverse(source: StoredRecord | undefined): Promise<boolean> {
    if (this.#row.journal.state !== 'catching_up' || source === undefined)
      return this.#isReverseReady;
    this.#isReverseReady &&= source.hasIdleInbound;
    this.#isReverseReady ||= await isReverseReady(await this.#work(), source);
    return this.#isReverseReady;
  }

  async #unacknowledged(): Promise<number> {
    const { journal, revision } = this.#row;
    if (!['fencing', 'cleaning', 'rollback_fencing', 'rollback_cleaning'].includes(journal.state)) {
      return 0;
    }
    return (await unacknowledgedRouters(this.#options.catalog.primary, revision)).length;
  }

  async #readRecords(): Promise<{
    source: StoredRecord | undefined;
    destination: StoredRecord | undefined;
  }> {
    const { state } = this.#row.journal;
    if (state === 'planned' || state === 'preflight') {
      return { source: undefined, destination: undefined };
    }
    if (this.#records === undefined || !isHeldIn(state)) {
      const work = await this.#work();
      const [source, destination] = await Promise.all([
        loadRecord(work.source.session, this.#row.id),
        loadRecord(work.destination.session, this.#row.id),
      ]);
      const isLost =
        (state === 'copying' || state === 'catching_up') &&
        destination?.hasInbound === true &&
        !(await isSlotAlive(work.source, streamName(this.#row.id, 'destination')));
      if (isLost) await this.#note({ lastError: streamLostError(this.#row.id).message });
      this.#records = { source, destination: isLost ? lost(destination) : destination };
    }
    return this.#records;
  }

  async #act(action: MoveAction): Promise<void> {
    switch (action.kind) {
      case 'advance':
        return this.#advance(action.to);
      case 'effect': {
        await this.#at(`before ${action.effect.kind} on ${action.on}`);
        // What was compared before was another copy: this one is made because that one's stream was lost.
        if (action.effect.kind === 'create-inbound' && action.effect.copies) {
          this.#isVerified = false;
        }
        const step = stepOf(action.effect.kind);
        const record = await step.run(await this.#work(), action.on, action.effect);
        await this.#at(`after ${action.effect.kind} on ${action.on}`);
        this.#remember(action.on, record);
        return;
      }
      case 'wait':
        return this.#wait(action.for);
      case 'nothing':
        return;
      default:
        await this.#at(`before ${action.kind}`);
        await this.#chore(action);
        this.#records = undefined;
        await this.#at(`after ${action.kind}`);
    }
  }

  async #chore(chore: Exclude<MoveAction, { kind: 'advance' | 'effect' | 'wait' | 'nothing' }>) {
    switch (chore.kind) {
      case 'preflight':
        return this.#preflight();
      case 'open-records':
        return this.#openRecords();
      case 'enter-transit':
      case 'leave-transit':
        await setTransit(this.#options.store, { row: this.#row }, chore.kind === 'enter-transit');
        return;
      case 'write-transit':
        return writeTransit(await this.#work(), chore.on, await this.#options.loadTopology());
      case 'prepare-reverse': {
        const work = await this.#work();
        if (this.#records?.source?.hasIdleInbound) {
          await takeOff(work, 'source', this.#records.source);
        }
        return prepareReverse(work);
      }
      case 'drop-reverse':
        return takeOff(await this.#work(), 'source', this.#records?.source as StoredRecord);
      case 'advance-sequences': {
        const { context } = this.#options;
        const { source, destination } = context;
        const isBack = this.#row.journal.state === 'reversing';
        const way = isBack ? { ...context, source: destination, destination: source } : context;
        await advanceSequences(way, SEQUENCE_MARGIN);
        this.#sequencesAtMs = this.#options.clock.monotonicMs();
        return;
      }
      case 'verify':
        return this.#verify();
      case 'close-outbound':
        return closeOutbound(await this.#work(), chore.into);
      case 'tidy':
        return this.#tidy();
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
    if (!wasHeld && isHeld) this.#heldSinceMs = this.#options.clock.monotonicMs();
    if (wasHeld && !isHeld) await this.#released(from);
    if (to === 'reversing') await this.#note({ rollbackMs: this.#options.limits.rollbackWindowMs });
    this.#options.onProgress?.(this.#row);
  }

  async #released(from: MoveState): Promise<void> {
    const { clock, limits } = this.#options;
    const pauseMs = clock.monotonicMs() - (this.#heldSinceMs ?? clock.monotonicMs());
    this.#heldSinceMs = undefined;
    if (from !== 'withdrawing' && from !== 'rollback_withdrawing') {
      return this.#note({ pauseMs });
    }
    this.#withdrawals += 1;
    const delayMs = Math.min(
      FIRST_SWITCH_RETRY_MS * 2 ** (this.#withdrawals - 1),
      LONGEST_SWITCH_RETRY_MS,
    );
    this.#switchAgainAtMs = clock.monotonicMs() + delayMs;
    if (this.#row.wish === 'abort' || this.#failure !== undefined) return;
    await this.#note({
      lastError: `The switch was not made within ${limits.pauseTimeoutMs} ms, so callers were let go; it is tried again in ${Math.round(delayMs / 1000)} s.`,
    });
  }

  async #wait(what: keyof typeof WAIT_MS): Promise<void> {
    if (what === 'barrier') this.#records = undefined;
    if (what === 'routers') await this.#clearTheWay();
    await this.#rest(WAIT_MS[what]);
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

  async #preflight(): Promise<void> {
    const { context, peers, referenceTables } = this.#options;
    const findings = await preflightMove(context, { reverse: true, peers, referenceTables });
    const blockers = findings.filter(({ severity }) => severity === 'blocker');
    if (blockers.length > 0) throw blockedError(this.#row.id, blockers);
    this.#isPreflighted = true;
  }

  async #openRecords(): Promise<void> {
    const { source, destination } = await this.#work();
    const { id, keyspace, slots, journal } = this.#row;
    const open = async (side: MoveSide, other: MoveSide) => {
      // Guards that an older version has made know nothing of slots in transit.
      for (const table of this.#options.context.tables) {
        await replaceGuardFunction(side.session, this.#options.context.keyspace, table);
      }
      const move = { id, keyspace, slots, shard: side.shard, otherShard: other.shard };
      await openRecord(side.session, move, journal.generation);
    };
    await Promise.all([open(source, destination), open(destination, source)]);
  }

  async #verify(): Promise<void> {
    const work = await this.#work();
    const { differences } = await verifyMove(this.#options.context, {
      signal: this.#options.signal,
      settle: () => settleStream(work),
      onChunk: async () => this.#checkpoint(),
    });
    if (differences.length > 0) throw differsError(this.#row.id, differences);
    this.#isVerified = true;
    await this.#note({ isVerified: true });
  }

  async #tidy(): Promise<void> {
    const { source, destination } = await this.#work();
    const { id, journal } = this.#row;
    await Promise.all(
      [source, destination].map(({ session }) => closeRecord(session, id, journal.generation)),
    );
    await this.#options.store.tidied(this.#row);
  }

  async #work(): Promise<MoveWork> {
    this.#sides ??= await this.#openSides();
    const { context, limits } = this.#options;
    return {
      row: this.#row,
      context,
      limits,
      ...this.#sides,
      checkpoint: async () => this.#checkpoint(),
    };
  }

  async #openSides(): Promise<{ source: MoveSide; destination: MoveSide }> {
    const opened = await Promise.allSettled([
      this.#openSide('source'),
      this.#openSide('destination'),
    ]);
    const [source, destination] = opened;
    if (source.status === 'fulfilled' && destination.status === 'fulfilled') {
      return { source: source.value, destination: destination.value };
    }
    for (const side of opened) if (side.status === 'fulfilled') side.value.session.close();
    throw opened.find((side) => side.status === 'rejected')?.reason;
  }

  async #openSide(role: MoveRole): Promise<MoveSide> {
    const { id, journal } = this.#row;
    const session = await MoveSession.open(this.#options[role], id, journal.generation);
    try {
      const { rows } = await session.query<{ version: number }>(
        "SELECT current_setting('server_version_num')::integer / 10000 AS version",
      );
      return {
        role,
        shard: journal[role],
        session,
        version: rows[0]?.version ?? 0,
        peerAddress: this.#options.peers[role],
      };
    } catch (error) {
      session.close();
      throw error;
    }
  }

  #closeSessions(): void {
    this.#sides?.source.session.close();
    this.#sides?.destination.session.close();
    this.#sides = undefined;
    this.#records = undefined;
  }

  #remember(on: MoveRole, record: StoredRecord): void {
    if (this.#records !== undefined) this.#records = { ...this.#records, [on]: record };
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

  /** Progress is told about once a second, and decides nothing. */
  async #tell(action: MoveAction): Promise<void> {
    const { clock, onProgress, store } = this.#options;
    const nowMs = clock.monotonicMs();
    if (isHeldIn(this.#row.journal.state) || nowMs - this.#notedAtMs < NOTE_MS) return;
    this.#notedAtMs = nowMs;
    const waitingFor = action.kind === 'wait' ? this.#reasonToWait(action.for) : null;
    const progress = await this.#progress();
    await store.note(this.#row, { waitingFor, ...(progress === undefined ? {} : { progress }) });
    onProgress?.({ ...this.#row, progress, waitingFor: waitingFor ?? undefined });
  }

  #reasonToWait(what: keyof typeof WAIT_MS): string {
    if (this.#row.steering.isPaused && this.#row.wish === undefined) {
      return 'The move is paused; it goes on when that is lifted.';
    }
    return this.#heldBack ?? WAITING[what];
  }

  async #progress(): Promise<MoveProgress | undefined> {
    const { state } = this.#row.journal;
    if (state !== 'copying' && state !== 'catching_up') return this.#row.progress;
    const work = await this.#work();
    this.#estimates ??= await estimateTables(work);
    return readProgress(work, this.#estimates, Date.now() - this.#row.stateSinceMs);
  }

  /** While rows are copied: are others suffering? @throws to give the move up. */
  async #throttle(work: MoveWork): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#throttledAtMs < THROTTLE_MS) return;
    this.#throttledAtMs = nowMs;
    const progress = await this.#progress();
    const now = { bytes: progress?.copiedBytes ?? 0, atMs: nowMs };
    const decision = await holdBack(work, { before: this.#copied, now });
    this.#copied = now;
    this.#heldBack = decision.isHeldBack ? decision.cause : undefined;
    if (!decision.mustGiveUp || this.#row.wish === 'abort') return;
    await this.#note({ lastError: decision.cause ?? null });
    this.#row = await this.#options.store.ask(this.#row.id, { wish: 'abort' });
  }

  async #note(facts: Parameters<JournalStore['note']>[1]): Promise<void> {
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

const WAITING: Record<keyof typeof WAIT_MS, string> = {
  copy: 'The rows that were there at the beginning are being copied.',
  stream: 'The destination is catching up.',
  release: 'Everything is ready; the switch waits for its release.',
  routers: 'Routers have yet to acknowledge what the catalog says.',
  barrier: 'The last writes are on their way to the destination.',
  wish: 'The switch is made; the move can be rolled back or finished.',
};

/** A stream whose slot is gone is none: what it would have brought is lost, and the copy begins anew. */
function lost(record: StoredRecord): StoredRecord {
  return { ...record, hasInbound: false, generation: -1 };
}

function mayPause({ journal }: MoveRow): boolean {
  return !isHeldIn(journal.state) && !isEndState(journal.state);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function blockedError(move: string, blockers: readonly Finding[]): ShardlineError {
  const lines = blockers.map(
    ({ code, shard, message, remedy }) => `\n  - ${code} on ${shard}: ${message} ${remedy}`,
  );
  return new ShardlineError(
    routerErrors.MOVE_BLOCKED,
    `Move '${move}' must not begin:${lines.join('')}\n`,
    { details: { move, findings: blockers } },
  );
}

function differsError(
  move: string,
  differences: readonly { readonly table: string; readonly key: string }[],
): ShardlineError {
  const named = differences.slice(0, 10).map(({ table, key }) => `${table} ${key}`);
  return new ShardlineError(
    routerErrors.MOVE_DIFFERS,
    `Move '${move}' has ${differences.length} rows that differ between source and destination: ${named.join(', ')}.`,
    { details: { move, differences } },
  );
}
