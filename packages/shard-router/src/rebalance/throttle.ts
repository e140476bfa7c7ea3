/**
 * When a move steps back for the sake of everybody else.
 *
 * Two kinds of trouble, with opposite cures. A replica that falls behind is helped by copying less: the move is *held
 * back* until the lag is well below its limit (not just below, or it would be held back again at once). A slot that
 * holds back too much WAL is not: it grows because the destination does not keep up, and a move that is held back
 * keeps up even less. There the only help is to give the move up before the disk is full or the server throws the
 * slot away.
 */

import type { MoveContext } from './move-context.js';
import throttleMeasuresSql from './throttle-measures.sql';

/** What was seen. */
export interface ThrottleMeasures {
  /** The replica of source or destination that is furthest behind; undefined if there are none. */
  readonly replica:
    | { readonly shard: string; readonly name: string; readonly lagMs: number }
    | undefined;
  /** WAL that the move's slot holds back. */
  readonly slotBytes: number;
  /** What may still be written before the server throws the slot away; undefined without such a limit. */
  readonly slotBytesLeft: number | undefined;
  readonly isSlotLost: boolean;
  /** How fast the move copies at the moment; undefined when that was not measured. */
  readonly copyBytesPerSecond?: number;
  /** Whether it was held back at the last look. */
  readonly wasHeldBack?: boolean;
}

/** What is borne. */
export interface ThrottleLimits {
  readonly replicaLagMs: number;
  readonly slotBytes: number;
  /** What an operator asked for; undefined for as fast as it goes. */
  readonly bytesPerSecond?: number | undefined;
}

/** What follows. */
export interface ThrottleDecision {
  /** Nothing new is to be copied for now. */
  readonly isHeldBack: boolean;
  /** The move is to be aborted: waiting makes it worse. */
  readonly mustGiveUp: boolean;
  /** Why, in a sentence for `status`. */
  readonly cause: string | undefined;
  /** Most bytes per second to go on with; undefined for no limit. */
  readonly bytesPerSecond?: number;
}

/** A lag must fall to this share of its limit before copying goes on. */
const RESUME_AT = 0.5;
/** A slot with less than this share of its room left will be lost before anybody has read the warning. */
const ROOM_LEFT = 0.1;
const LOST = 'The server has thrown the replication slot away; the copy begins anew.';

/** Decides (pure). */
export function decideThrottle(
  measures: ThrottleMeasures,
  limits: ThrottleLimits,
): ThrottleDecision {
  // Too late to give up in time: the move finds that out by itself, and copies afresh.
  if (measures.isSlotLost) {
    return { isHeldBack: measures.wasHeldBack === true, mustGiveUp: false, cause: LOST };
  }
  const hopeless = whyHopeless(measures, limits);
  if (hopeless !== undefined) return { isHeldBack: true, mustGiveUp: true, cause: hopeless };
  const cause = whyHeldBack(measures, limits);
  return {
    isHeldBack: cause !== undefined,
    mustGiveUp: false,
    cause,
    ...(limits.bytesPerSecond === undefined ? {} : { bytesPerSecond: limits.bytesPerSecond }),
  };
}

function whyHopeless(measures: ThrottleMeasures, limits: ThrottleLimits): string | undefined {
  const { slotBytes, slotBytesLeft } = measures;
  if (slotBytes > limits.slotBytes) {
    return `The replication slot holds back ${slotBytes} bytes of WAL; ${limits.slotBytes} are allowed.`;
  }
  if (slotBytesLeft !== undefined && slotBytesLeft < (slotBytes + slotBytesLeft) * ROOM_LEFT) {
    return `The server throws the replication slot away after ${slotBytesLeft} more bytes of WAL.`;
  }
  return undefined;
}

function whyHeldBack(measures: ThrottleMeasures, limits: ThrottleLimits): string | undefined {
  const { replica, copyBytesPerSecond } = measures;
  const share = measures.wasHeldBack === true ? RESUME_AT : 1;
  if (replica !== undefined && replica.lagMs > limits.replicaLagMs * share) {
    return `Replica '${replica.name}' of shard '${replica.shard}' is ${Math.round(replica.lagMs)} ms behind; ${limits.replicaLagMs} are allowed${share === 1 ? '' : ', and half of that to go on'}.`;
  }
  if (
    limits.bytesPerSecond !== undefined &&
    copyBytesPerSecond !== undefined &&
    copyBytesPerSecond > limits.bytesPerSecond
  ) {
    return `The copy runs at ${Math.round(copyBytesPerSecond)} bytes per second; ${limits.bytesPerSecond} were asked for.`;
  }
  return undefined;
}

interface MeasuredServer {
  readonly replica: { readonly name: string; readonly lagMs: number } | null;
  readonly slot: {
    readonly bytes: number;
    readonly bytesLeft: number | null;
    readonly isLost: boolean;
  };
}

/** Looks at both servers. @param slotName the slot on the source; undefined while the move has none. */
export async function measureThrottle(
  context: MoveContext,
  slotName: string | undefined,
): Promise<ThrottleMeasures> {
  const [source, destination] = await Promise.all([
    measure(context.source.primary, slotName ?? null),
    measure(context.destination.primary, null),
  ]);
  const replicas = [
    ...(source.replica === null ? [] : [{ shard: context.source.name, ...source.replica }]),
    ...(destination.replica === null
      ? []
      : [{ shard: context.destination.name, ...destination.replica }]),
  ].sort((one, other) => other.lagMs - one.lagMs);
  return {
    replica: replicas[0],
    slotBytes: Number(source.slot.bytes),
    slotBytesLeft: source.slot.bytesLeft === null ? undefined : Number(source.slot.bytesLeft),
    isSlotLost: source.slot.isLost,
  };
}

async function measure(
  client: MoveContext['source']['primary'],
  slotName: string | null,
): Promise<MeasuredServer> {
  const { rows } = await client.query<MeasuredServer>(throttleMeasuresSql, [slotName]);
  return rows[0] as MeasuredServer;
}
