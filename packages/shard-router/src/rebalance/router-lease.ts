/**
 * What a router may do while slots move: route, hold, acknowledge, serve, verify (pure).
 *
 * A *write* needs no care here: the shard's guard lets it in or refuses it, whatever the router believes. A *read*
 * cannot be refused by a guard, so it is either covered by the router's lease or verified after it was done:
 *
 * - Covered: it was routed, and *ended*, within one unbroken lease under one revision of the catalog. Whoever
 *   switches slots waits for the acknowledgement of every router whose lease he takes to run, so nothing can have
 *   moved in between. Judged when the answer is there, since the process may have been frozen meanwhile.
 * - Verified: the shard's record, read after the rows, says that it owns the slot *since the epoch by which the
 *   read was routed*. "Do you own it" alone would pass after a move there and back.
 *
 * An acknowledgement is a promise about what is in flight. Of a revision that holds the slots: nothing at all. Of
 * another one: nothing that was routed by an older one.
 */

import { isCovered, type Lease } from '../topology/lease.js';

/** What a router knows of a group of slots, by the newest revision that it has applied. */
export interface SlotView {
  readonly revision: number;
  readonly owner: string;
  readonly epoch: number;
  readonly isHeld: boolean;
}

/** A call under way. */
export interface RoutedCall {
  readonly target: string;
  /** Epoch of the slot, and revision of the catalog, by which it was routed. */
  readonly epoch: number;
  readonly revision: number;
  readonly routedAtMs: number;
}

/** How a read that has its answer is judged. */
export type ReadJudgement = 'serve' | 'verify';

/** Routes a call, or keeps it back while the slots are held. */
export function routeCall(view: SlotView, nowMs: number): RoutedCall | undefined {
  if (view.isHeld) return undefined;
  return { target: view.owner, epoch: view.epoch, revision: view.revision, routedAtMs: nowMs };
}

/** Whether a router may acknowledge the revision that it has applied. */
export function mayAcknowledge(view: SlotView, inFlight: readonly RoutedCall[]): boolean {
  if (view.isHeld) return inFlight.length === 0;
  return inFlight.every((call) => call.revision >= view.revision);
}

/** What a renewal sends: the newest revision that may be acknowledged. */
export function acknowledgement(
  view: SlotView,
  acknowledged: number,
  inFlight: readonly RoutedCall[],
): number {
  return mayAcknowledge(view, inFlight) ? Math.max(acknowledged, view.revision) : acknowledged;
}

/** Judges a read at the moment at which its answer is there. */
export function judgeRead(call: RoutedCall, lease: Lease, nowMs: number): ReadJudgement {
  return isCovered(lease, call.routedAtMs, nowMs) ? 'serve' : 'verify';
}

/** Whether a read that was verified counts. The record was read after the rows were. */
export function isVerified(
  call: RoutedCall,
  record: { readonly isOwner: boolean; readonly epoch: number },
): boolean {
  return record.isOwner && record.epoch === call.epoch;
}
