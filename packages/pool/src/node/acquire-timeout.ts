import type { ShardlineError } from '@shardline/core';
import { messageOf, poolError } from '../errors.js';
import type { NodePoolCounts } from './node-pool-options.js';

/** Says how full the pool was, and why it did not grow. */
export function acquireTimeout(
  node: string,
  waitedMs: number,
  max: number,
  counts: NodePoolCounts,
  failure: ShardlineError | undefined,
): ShardlineError {
  const { total, idle, busy, dialing, waiting } = counts;
  const last = failure === undefined ? '' : ` The last dial failed: ${messageOf(failure.cause)}.`;
  return poolError(
    'POOL_ACQUIRE_TIMEOUT',
    `timeout exceeded when trying to connect: no connection to ${node} within ${waitedMs} ms ` +
      `(${total} of ${max} open, ${idle} idle, ${busy} busy, ${dialing} dialling, ${waiting} waiting).${last}`,
    { details: { node, waitedMs, max, ...counts }, ...(failure ? { cause: failure } : {}) },
  );
}
