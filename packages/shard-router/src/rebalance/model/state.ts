/**
 * What the model of a cut-over knows: the catalog with the journal, two shards with the streams into them, routers,
 * a client that knows of none of this, and one command that a dying mover left on its way.
 *
 * One slot with one row is enough, since everything that is done is done per slot. The row's value is a version:
 * a whole number that no other write has; 0 is no row. Time is the order of what happens, and nothing else.
 */

import type { Lease } from '../../topology/lease.js';
import type { MoveJournal } from '../journal.js';
import type { RoutedCall, SlotView } from '../router-lease.js';
import type { ShardEffect, ShardRecord } from '../shard-record.js';

/** The shards; the first owns the slot in the beginning, and the foreign client writes to it. */
export const SHARDS = ['a', 'b'] as const;
export type ShardIndex = 0 | 1;

/** Is told of everything that can happen next. */
export type Visit = (action: string, next: CutOverState) => void;

/** How much may happen; the search is complete within it. */
export interface CutOverBounds {
  readonly routers: number;
  /** Of each router. */
  readonly writes: number;
  readonly reads: number;
  readonly foreignWrites: number;
  readonly moves: number;
  /** Commands that outlive their mover. */
  readonly zombies: number;
  /** @default true */
  readonly canAbort?: boolean;
  /** @default true */
  readonly canRollBack?: boolean;
  /** Whether a switch may be withdrawn, once or often: twice as many states. @default false */
  readonly canWithdraw?: boolean;
  /** How often the slot that feeds a stream is lost, either way. @default 0 */
  readonly losses?: number;
}

export interface CutOverState {
  readonly journal: MoveJournal;
  readonly catalog: ModelCatalog;
  readonly shards: readonly [ModelShard, ModelShard];
  readonly routers: readonly ModelRouter[];
  readonly foreign: { readonly isWriting: boolean; readonly left: number };
  readonly zombie: Zombie | undefined;
  readonly zombiesLeft: number;
  readonly movesLeft: number;
  readonly lossesLeft: number;
  /** Newest version that was acknowledged to a writer or shown to a reader. */
  readonly floor: number;
  /** What went wrong in the step that led here. */
  readonly fault: string | undefined;
}

export interface ModelCatalog {
  readonly revision: number;
  readonly owner: ShardIndex;
  readonly epoch: number;
  readonly isHeld: boolean;
}

export interface ModelShard {
  readonly record: ShardRecord;
  readonly value: number;
  /** What the subscription here has yet to apply: versions, 0 for a deletion, and barriers. */
  readonly inbound: readonly number[];
  /** Whether there is a subscription that flows although the record says that it counts no more, or not yet. */
  readonly isIdle: boolean;
  /** Whether the slot that feeds it is gone: it stands, and brings nothing any more. */
  readonly isLost: boolean;
}

/** Barriers in a stream are told from versions by their size. */
const FIRST_BARRIER = 1000;

export function barrierOf(generation: number): number {
  return FIRST_BARRIER + generation;
}

/** The generation of a barrier, or undefined for a version. */
export function generationOf(streamed: number): number | undefined {
  return streamed >= FIRST_BARRIER ? streamed - FIRST_BARRIER : undefined;
}

export interface ModelRouter {
  readonly view: SlotView;
  /** Revision that the catalog knows to be acknowledged. */
  readonly acknowledged: number;
  readonly lease: Lease;
  /** Whether the catalog takes the lease to run. */
  readonly isLeasedInCatalog: boolean;
  readonly call: ModelCall | undefined;
  readonly readsLeft: number;
  readonly writesLeft: number;
}

export interface ModelCall extends RoutedCall {
  readonly kind: 'read' | 'write';
  /** A read: the rows are there. A write: it has passed the guard, its transaction is open. */
  readonly isRunning: boolean;
  /** What a read must at least show, and what it has found. */
  readonly floor: number;
  readonly value: number;
  /** Of a read that is verified too early: it was. */
  readonly isVerified: boolean;
}

/** A command of a mover that died, on its way for as long as it likes. */
export interface Zombie {
  readonly on: ShardIndex;
  readonly effect: ShardEffect;
  readonly generation: number;
}

/** Moments that stand for all: a lease began, calls that it covers or not were routed, it is now, it ends. */
export const MOMENT = { uncovered: 40, leaseSince: 50, covered: 60, now: 100, leaseEnd: 200 };

export function indexOf(shard: string): ShardIndex {
  return shard === SHARDS[0] ? 0 : 1;
}

export function otherShard(shard: ShardIndex): ShardIndex {
  return shard === 0 ? 1 : 0;
}

/**
 * Whether a router will do nothing more. It counts as closed: that it could still keep a mover waiting adds nothing,
 * since any mover can be slow.
 */
export function isDone({ call, readsLeft, writesLeft }: ModelRouter): boolean {
  return call === undefined && readsLeft === 0 && writesLeft === 0;
}

export function withShard(state: CutOverState, at: ShardIndex, shard: ModelShard): CutOverState {
  return { ...state, shards: at === 0 ? [shard, state.shards[1]] : [state.shards[0], shard] };
}

/** Everything is at rest: shard `a` owns the slot, every router knows it and has its lease. */
export function initialState(bounds: CutOverBounds): CutOverState {
  const record = (isOwner: boolean): ShardRecord => ({
    generation: 0,
    isOwner,
    epoch: 0,
    isFenced: false,
    hasInbound: false,
    hasForeignRows: false,
    barrierWritten: 0,
    barrierSeen: 0,
  });
  const router: ModelRouter = {
    view: { revision: 2, owner: SHARDS[0], epoch: 0, isHeld: false },
    acknowledged: 2,
    lease: { sinceMs: MOMENT.leaseSince, endsAtMs: MOMENT.leaseEnd, revision: 2 },
    isLeasedInCatalog: true,
    call: undefined,
    readsLeft: bounds.reads,
    writesLeft: bounds.writes,
  };
  return {
    journal: {
      source: SHARDS[1],
      destination: SHARDS[0],
      state: 'done',
      generation: 1,
      holder: 'mover',
      epoch: 0,
    },
    catalog: { revision: 2, owner: 0, epoch: 0, isHeld: false },
    shards: [
      { record: record(true), value: 0, inbound: [], isIdle: false, isLost: false },
      { record: record(false), value: 0, inbound: [], isIdle: false, isLost: false },
    ],
    routers: Array.from({ length: bounds.routers }, () => router),
    foreign: { isWriting: false, left: bounds.foreignWrites },
    zombie: undefined,
    zombiesLeft: bounds.zombies,
    movesLeft: bounds.moves,
    lossesLeft: bounds.losses ?? 0,
    floor: 0,
    fault: undefined,
  };
}
