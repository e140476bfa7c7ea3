import type { ShardlineError } from '@shardline/core';
import { poolError } from '../errors.js';
import type { TopologyState } from './topology-state.js';

/** Two servers take writes: says which. */
export function splitBrainError({ nodes, timeline }: TopologyState): ShardlineError {
  const names = [...nodes.values()]
    .filter(({ fault }) => fault === 'split-brain')
    .map(({ name }) => name);
  return poolError(
    'POOL_SPLIT_BRAIN',
    `${names.join(' and ')} both take writes on timeline ${timeline}.`,
    { details: { nodes: names, timeline } },
  );
}

/** Nobody takes writes: says what each server is instead, and why. */
export function noPrimaryError({ nodes }: TopologyState, waitedMs: number): ShardlineError {
  const seen = [...nodes.values()].map(({ name, role, fault, state }) => {
    const why = state.lastFailure === undefined ? '' : ` (${state.lastFailure})`;
    return `${name}: ${fault ?? role}${why}`;
  });
  return poolError(
    'POOL_NO_PRIMARY',
    `No server that takes writes was found within ${Math.round(waitedMs)} ms (${seen.join('; ')}).`,
    { details: { nodes: seen, waitedMs } },
  );
}
