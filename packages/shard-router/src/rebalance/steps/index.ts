/** The steps of a move, by the effect that they bring about. */

import type { ShardEffect } from '../shard-record.js';
import { clean } from './clean.js';
import { fence, open, relinquish, unfence } from './fence.js';
import type { Step } from './step.js';
import { createInbound, dropInbound } from './streams.js';

const STEPS: { readonly [Kind in ShardEffect['kind']]: Step<ShardEffect & { kind: Kind }> } = {
  'create-inbound': createInbound,
  'drop-inbound': dropInbound,
  fence,
  unfence,
  relinquish,
  open,
  clean,
};

/** The step that brings an effect about. */
export function stepOf(kind: ShardEffect['kind']): Step {
  return STEPS[kind] as Step;
}
