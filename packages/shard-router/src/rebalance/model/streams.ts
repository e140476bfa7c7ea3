/**
 * The streams of a move in the model, by the shard that each leads to: made and taken off in steps, after each of which a
 * mover may die; and what is done to a shard flows through the one that leads away from it. What comes next is
 * decided by the product's own reducer.
 */

import type { MoveRole } from '../move-state.js';
import type { ShardEffect, ShardRecord } from '../shard-record.js';
import type { CutOverRules } from './rules.js';
import {
  type CutOverState,
  indexOf,
  type ModelShard,
  otherShard,
  SHARDS,
  type ShardIndex,
  type Visit,
  withShard,
} from './state.js';

type CreateInbound = ShardEffect & { kind: 'create-inbound' };

/** Where streams may overlap the reverse one is made before the hold, in a step of its own; undefined if it stands. */
export function withReverse(rules: CutOverRules, state: CutOverState): CutOverState | undefined {
  const on = shardOf(state, 'source');
  const shard = state.shards[on];
  if (!rules.streamsOverlap || shard.isIdle) return undefined;
  return withShard(state, on, { ...shard, record: told(state, on), isIdle: true });
}

/** Takes a stream off that counts no more, or was lost: apart from the effects, but at the journal's generation as they are. */
export function withoutSubscription(state: CutOverState, on: ShardIndex): CutOverState {
  const record = { ...told(state, on), hasInbound: false };
  const bare = { record, inbound: [], isIdle: false, isLost: false };
  return withShard(state, on, { ...state.shards[on], ...bare });
}

function told({ shards, journal }: CutOverState, on: ShardIndex): ShardRecord {
  return { ...shards[on].record, generation: journal.generation };
}

/** What comes before a stream, if anything does: each a step of its own, after which a mover may die. */
export function onTheWay(
  rules: CutOverRules,
  state: CutOverState,
  on: ShardIndex,
  effect: CreateInbound,
  visit: Visit,
): boolean {
  switch (streamStep(rules, state, on, effect)) {
    case 'take-off':
      visit(`what is left of the stream to ${SHARDS[on]} goes`, withoutSubscription(state, on));
      return true;
    case 'take-off-back': {
      const back = otherShard(on);
      visit(`the stream back to ${SHARDS[back]} goes`, withoutSubscription(state, back));
      return true;
    }
    case 'empty': {
      const emptied = withShard(state, on, {
        ...state.shards[on],
        record: told(state, on),
        value: 0,
      });
      visit(`an earlier copy goes from ${SHARDS[on]}`, streamed(emptied, on, 0));
      return true;
    }
    case 'keep':
    case 'wake': {
      const shard = state.shards[on];
      if (!shard.isLost) return false;
      // By a broken rule alone: the slot is made again, and the stream goes on without what it missed.
      visit(
        `the slot that feeds ${SHARDS[on]} is made again`,
        withShard(state, on, { ...shard, isLost: false }),
      );
      return true;
    }
    case 'create':
      return false;
  }
}

function streamStep(
  rules: CutOverRules,
  state: CutOverState,
  on: ShardIndex,
  effect: CreateInbound,
) {
  const standing = ({ record, isIdle }: ModelShard) => ({
    hasInbound: record.hasInbound,
    hasIdleInbound: isIdle,
  });
  const shard = state.shards[on];
  const mayHaveRows = shard.record.hasForeignRows && shard.value !== 0;
  return rules.nextStreamStep(effect, {
    here: { ...standing(shard), isFed: !shard.isLost, mayHaveRows },
    back: standing(state.shards[otherShard(on)]),
  });
}

/** What happens on a shard goes into the stream that leads away from it, if there is one. */
export function streamed(state: CutOverState, from: ShardIndex, what: number): CutOverState {
  const to = otherShard(from);
  const shard: ModelShard = state.shards[to];
  if (shard.isLost || !(shard.record.hasInbound || shard.isIdle)) return state;
  return withShard(state, to, { ...shard, inbound: [...shard.inbound, what] });
}

export function shardOf({ journal }: CutOverState, role: MoveRole): ShardIndex {
  return indexOf(role === 'source' ? journal.source : journal.destination);
}
