/**
 * The cut-over as a model that can be explored whole: catalog, journal, two shards, streams, routers, a foreign
 * client, movers that die at any point. It calls the product's own reducers.
 *
 * What always holds (`violation`):
 * 1. The owner has the newest version that was acknowledged or shown to anyone: no write is lost.
 * 2. No read shows less than what was known when it was routed: nobody sees the old copy.
 * 3. Never do two shards let writes in.
 * 4. When a move is over, nothing of it is left: no fence, no stream, no foreign rows, no hold; and the owner's own
 *    record says that it is the owner.
 * And from every state an end of the move can be reached: nothing gets stuck.
 */

import { isEndState } from '../move-state.js';
import { clientActions } from './clients.js';
import { moverActions } from './mover.js';
import { packState, unpackState, wordsPerState } from './packing.js';
import { type CutOverRules, RULES } from './rules.js';
import { type CutOverBounds, type CutOverState, initialState, SHARDS } from './state.js';

/** The model in the form in which an explorer takes it. */
export interface CutOverModel {
  readonly wordsPerState: number;
  readonly initialStates: readonly CutOverState[];
  pack(state: CutOverState, into: Uint32Array): void;
  unpack(from: Uint32Array, start: number): CutOverState;
  successors(state: CutOverState, visit: (action: string, next: CutOverState) => void): void;
  violation(state: CutOverState): string | undefined;
  isEnd(state: CutOverState): boolean;
}

/** The model of a cut-over within bounds, by the product's rules or by broken ones. */
export function cutOverModel(bounds: CutOverBounds, rules: CutOverRules = RULES): CutOverModel {
  return {
    wordsPerState: wordsPerState(bounds.routers),
    initialStates: [initialState(bounds)],
    pack: (state, into) => packState(rules, state, into),
    unpack: (from, start) => unpackState(from, start, bounds.routers),
    successors: (state, visit) => {
      moverActions(rules, bounds, state, visit);
      clientActions(rules, state, visit);
    },
    violation: (state) => violationOf(rules, state),
    isEnd: (state) => isEndState(state.journal.state),
  };
}

function violationOf(rules: CutOverRules, state: CutOverState): string | undefined {
  if (state.fault !== undefined) return state.fault;
  const { catalog, shards, floor } = state;
  const owner = shards[catalog.owner];
  if (owner.value < floor) {
    return `a write is lost: shard ${SHARDS[catalog.owner]}, the owner, has version ${owner.value}, and ${floor} was acknowledged or shown`;
  }
  if (shards.every(({ record }) => rules.acceptsWrites(record))) return 'two shards let writes in';
  return isEndState(state.journal.state) ? leftovers(rules, state) : undefined;
}

function leftovers(rules: CutOverRules, { catalog, shards }: CutOverState): string | undefined {
  if (catalog.isHeld) return 'the move is over and its slots are still held';
  for (const [at, { record, value, isIdle }] of shards.entries()) {
    const where = `the move is over and shard ${SHARDS[at]}`;
    if (record.isFenced) return `${where} is fenced`;
    if (record.hasInbound || isIdle) return `${where} has a subscription`;
    if (at === catalog.owner) continue;
    if (value !== 0 || record.hasForeignRows) return `${where}, not the owner, has rows`;
  }
  const { record } = shards[catalog.owner];
  if (!rules.acceptsWrites(record) || record.epoch !== catalog.epoch) {
    return `the move is over and shard ${SHARDS[catalog.owner]} does not know that it is the owner`;
  }
  return undefined;
}
