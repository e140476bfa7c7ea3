/**
 * What is done next on the way to a stream (pure).
 *
 * `create-inbound` is one effect to the protocol and several steps to a shard, each in a transaction of its own; a mover may
 * die between any two. So each follows from what stands on the shards, and whoever comes next goes on from there.
 *
 * A copy begins on empty ground: what an earlier one has left would be in its way. To take that away are deletions of this
 * shard's own, and no origin filter keeps a stream that leads back from bringing them to the owner of the rows. So that
 * stream goes first; it is made again when the copy has caught up. `model/` shows the write that is lost otherwise.
 */

import type { ShardEffect, ShardRecord } from './shard-record.js';

/** A stream by the shard that it leads to, as it is found there. */
export interface StreamStanding {
  /** Whether the shard's record says that the stream counts. */
  readonly hasInbound: boolean;
  /** Whether a subscription stands that counts no more, or not yet. */
  readonly hasIdleInbound: boolean;
}

/** What is known when the next step to a stream is decided. */
export interface StreamFacts {
  /** On the shard that is to have the stream. */
  readonly here: StreamStanding & {
    /** Whether the slot that feeds it is there, and complete. */
    readonly isFed: boolean;
    /** Whether rows of an earlier copy may be here. */
    readonly mayHaveRows: boolean;
  };
  /** The stream the other way. */
  readonly back: StreamStanding;
}

/** One step: `keep`, `wake` and `create` are the last ones. */
export type StreamStep = 'keep' | 'wake' | 'take-off' | 'take-off-back' | 'empty' | 'create';

/** Decides the one next step to a stream. One whose slot was lost is never taken up again: what it missed is nowhere else. */
export function nextStreamStep(
  effect: ShardEffect & { readonly kind: 'create-inbound' },
  { here, back }: StreamFacts,
): StreamStep {
  if (stands(here)) {
    if (!here.isFed) return 'take-off';
    return here.hasInbound ? 'keep' : 'wake';
  }
  if (!effect.copies) return 'create';
  if (stands(back)) return 'take-off-back';
  return here.mayHaveRows ? 'empty' : 'create';
}

/** The record of a shard whose stream has lost its slot: it has no stream, whatever it says, and what it says is out of date. */
export function withoutStream<Record extends ShardRecord>(record: Record): Record {
  return { ...record, hasInbound: false, generation: -1 };
}

function stands({ hasInbound, hasIdleInbound }: StreamStanding): boolean {
  return hasInbound || hasIdleInbound;
}
