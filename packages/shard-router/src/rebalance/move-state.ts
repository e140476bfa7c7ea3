/**
 * The states of a move, and which may follow which (pure).
 *
 * ```
 * planned > preflight > prepared > copying > catching_up > fencing > drained > committed
 *         > reversing > cleaning > done
 *   any before fencing:    aborting > aborted
 *   fencing to drained:    withdrawing > catching_up
 *   from reversing:        rollback_fencing > rollback_drained > rollback_committed > rollback_cleaning
 *                          > rolled_back
 *   rollback_fencing:      rollback_withdrawing > reversing
 * ```
 * Callers are held back for a bounded time only. A switch that takes too long, or is to be given up, *withdraws*: the
 * fence is taken off, the callers are let go, and the move stands where it stood before. Whoever wants it aborted
 * aborts it from there, so nobody waits while the destination is cleaned.
 *
 * The point of no return is `committed`: before it every failure takes the way of `aborting`; after it there is only
 * forward, or the same switch with the roles swapped.
 *
 * What a change of state does to the catalog is done in the same transaction as the change: to hold the slots
 * back, to switch their owner (with an epoch one higher), or to release them. So nobody sees one without the other,
 * and a mover that died between the two cannot be.
 */

/** The states of a move, in the order in which they are met. */
export const MOVE_STATES = [
  'planned',
  'preflight',
  'prepared',
  'copying',
  'catching_up',
  'fencing',
  'drained',
  'withdrawing',
  'committed',
  'reversing',
  'cleaning',
  'done',
  'aborting',
  'aborted',
  'rollback_fencing',
  'rollback_drained',
  'rollback_withdrawing',
  'rollback_committed',
  'rollback_cleaning',
  'rolled_back',
] as const;

/** Where a move stands. */
export type MoveState = (typeof MOVE_STATES)[number];

/** A shard of a move by its part in it, which a rollback does not change. */
export type MoveRole = 'source' | 'destination';

/** What a change of state does to the catalog, in the same transaction. */
export type CatalogChange = 'hold' | 'switch' | 'release';

interface StateFacts {
  readonly next: readonly MoveState[];
  /** Done to the catalog on entry. */
  readonly onEntry?: CatalogChange;
  /** Who owns the slots, by the catalog. */
  readonly owner: MoveRole;
  /** Whether routers are asked to hold the slots back. */
  readonly isHeld?: true;
}

const FACTS: Readonly<Record<MoveState, StateFacts>> = {
  planned: { next: ['preflight', 'aborting'], owner: 'source' },
  preflight: { next: ['prepared', 'aborting'], owner: 'source' },
  prepared: { next: ['copying', 'aborting'], owner: 'source' },
  copying: { next: ['catching_up', 'aborting'], owner: 'source' },
  // Nothing is held if it comes from `copying`, and then nothing is released.
  catching_up: { next: ['fencing', 'aborting'], onEntry: 'release', owner: 'source' },
  fencing: { next: ['drained', 'withdrawing'], onEntry: 'hold', owner: 'source', isHeld: true },
  drained: { next: ['committed', 'withdrawing'], owner: 'source', isHeld: true },
  withdrawing: { next: ['catching_up'], owner: 'source', isHeld: true },
  committed: { next: ['reversing'], onEntry: 'switch', owner: 'destination', isHeld: true },
  reversing: { next: ['cleaning', 'rollback_fencing'], onEntry: 'release', owner: 'destination' },
  cleaning: { next: ['done'], owner: 'destination' },
  done: { next: [], owner: 'destination' },
  aborting: { next: ['aborted'], owner: 'source' },
  aborted: { next: [], owner: 'source' },
  rollback_fencing: {
    next: ['rollback_drained', 'rollback_withdrawing'],
    onEntry: 'hold',
    owner: 'destination',
    isHeld: true,
  },
  rollback_drained: { next: ['rollback_committed'], owner: 'destination', isHeld: true },
  rollback_withdrawing: { next: ['reversing'], owner: 'destination', isHeld: true },
  rollback_committed: {
    next: ['rollback_cleaning'],
    onEntry: 'switch',
    owner: 'source',
    isHeld: true,
  },
  rollback_cleaning: { next: ['rolled_back'], onEntry: 'release', owner: 'source' },
  rolled_back: { next: [], owner: 'source' },
};

/** Whether one state may follow another at once. */
export function mayFollow(from: MoveState, to: MoveState): boolean {
  return FACTS[from].next.includes(to);
}

/** What entering a state does to the catalog. */
export function catalogChangeOf(state: MoveState): CatalogChange | undefined {
  return FACTS[state].onEntry;
}

/** Which shard owns the slots while a move is in a state. */
export function ownerIn(state: MoveState): MoveRole {
  return FACTS[state].owner;
}

/** Whether routers are asked to hold the slots back. */
export function isHeldIn(state: MoveState): boolean {
  return FACTS[state].isHeld === true;
}

/** Whether nothing follows any more. */
export function isEndState(state: MoveState): boolean {
  return FACTS[state].next.length === 0;
}

/** Whether the move can still be given up without anyone having noticed it. */
export function mayAbort(state: MoveState): boolean {
  return mayFollow(state, 'aborting') || mayFollow(state, 'withdrawing') || state === 'withdrawing';
}

/** The state by which a move lets its callers go without having switched, if there is one from here. */
export function withdrawalFrom(state: MoveState): MoveState | undefined {
  return FACTS[state].next.find((next) => next.endsWith('withdrawing'));
}

/** The name of a state as `status` shows it: a rollback is one thing to those who wait for it. */
export function publicState(state: MoveState): string {
  return state.startsWith('rollback_') ? 'rolling_back' : state;
}
