/**
 * Holding a copy back for the sake of everybody else, and giving it up when waiting would make things worse.
 *
 * A stream is held back by switching its subscription off: what has been copied stays, and the slot keeps what comes
 * meanwhile. Whether it is off, the server says, so a mover that takes over switches it on again if nothing speaks
 * against it any more.
 *
 * So it is a coarse brake and no limit of a rate: PostgreSQL brings the COPY of a table that has begun to its end,
 * subscription off or not. What waits is the tables that have not begun, and the changes.
 */

import { quoteIdentifier } from '@shardline/core';
import type { MoveWork } from './move-work.js';
import { withGeneration } from './record-store.js';
import { streamName } from './stream-names.js';
import { decideThrottle, measureThrottle, type ThrottleDecision } from './throttle.js';

/** How often it is looked at. */
export const THROTTLE_MS = 1000;

/** What was copied when it was last looked at, to know the rate. */
export interface CopiedSoFar {
  readonly bytes: number;
  readonly atMs: number;
}

/** Measures, decides, and switches the stream on or off. */
export async function holdBack(
  work: MoveWork,
  rate: { readonly before: CopiedSoFar | undefined; readonly now: CopiedSoFar },
): Promise<ThrottleDecision> {
  const name = streamName(work.row.id, 'destination');
  const [measures, { rows }] = await Promise.all([
    measureThrottle(work.context, name),
    work.destination.session.query<{ is_on: boolean }>(
      'SELECT subenabled AS is_on FROM pg_catalog.pg_subscription WHERE subname = $1',
      [name],
    ),
  ]);
  const isOn = rows[0]?.is_on ?? true;
  const decision = decideThrottle(
    { ...measures, wasHeldBack: !isOn, ...bytesPerSecond(rate) },
    {
      replicaLagMs: work.limits.replicaLagMs,
      slotBytes: work.limits.slotBytes,
      bytesPerSecond: work.row.steering.bytesPerSecond,
    },
  );
  const { session } = work.destination;
  if (rows.length === 1 && isOn === decision.isHeldBack) {
    await withGeneration(session, work.row.id, work.row.journal.generation, async () => {
      const verb = decision.isHeldBack ? 'DISABLE' : 'ENABLE';
      await session.query(`ALTER SUBSCRIPTION ${quoteIdentifier(name)} ${verb}`);
    });
  }
  return decision;
}

function bytesPerSecond({
  before,
  now,
}: {
  readonly before: CopiedSoFar | undefined;
  readonly now: CopiedSoFar;
}): { copyBytesPerSecond?: number } {
  if (before === undefined || now.atMs <= before.atMs) return {};
  return {
    copyBytesPerSecond: Math.max(0, ((now.bytes - before.bytes) * 1000) / (now.atMs - before.atMs)),
  };
}
