/**
 * What the objects of a move are called. Slots and roles are one namespace per server, which several shards may
 * share, so every name carries the move's id and the direction.
 */

import type { MoveRole } from './move-state.js';

/** Everything that a move makes on a server begins with this. */
export const OBJECT_PREFIX = 'shardline_';

/** The name of publication, slot, role and subscription of one direction, by the shard that is fed. */
export function streamName(move: string, into: MoveRole): string {
  return `${OBJECT_PREFIX}${move}_${into === 'destination' ? 'forward' : 'reverse'}`;
}

/** The move that an object belongs to, or undefined if it is none of ours. */
export function moveOfObject(name: string): { move: string; into: MoveRole } | undefined {
  const match = /^shardline_([a-z0-9]+)_(forward|reverse)$/.exec(name);
  if (match === null) return undefined;
  return {
    move: match[1] as string,
    into: match[2] === 'forward' ? 'destination' : 'source',
  };
}
