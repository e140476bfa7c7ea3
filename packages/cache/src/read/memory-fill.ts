import { freezeAndMeasure } from '../tiers/memory/freeze.js';
import { MemoryEntry, type MemoryTicket } from '../tiers/memory/memory-tier.js';
import type { Found } from './found.js';
import type { ReaderParts } from './reader-parts.js';
import { eagerWindowMs, freshLeftMs } from './refresh.js';

/** Puts a value into L1 under a ticket taken before it was read; false if something else has come since the ticket. */
export function fillMemory(
  { policy, memory, clock, counters, isWrittenBehind }: ReaderParts,
  key: string,
  ticket: MemoryTicket,
  found: Found,
): boolean {
  const nowMs = clock.now();
  if ((found.isAbsent && found.ttlMs === 0) || isWrittenBehind(key)) return true;
  const leftMs = Math.min(policy.l1TtlMs, freshLeftMs(found, nowMs));
  const staleMs = freshLeftMs(found, nowMs) <= leftMs ? found.staleMs : 0;
  if (leftMs + staleMs <= 0) return true;
  const bytes = freezeAndMeasure(found.value) + 2 * key.length;
  const freshUntilMs = clock.monotonicMs() + leftMs;
  const eagerMs = policy.eagerBeta === 0 ? 0 : eagerWindowMs(found.loadMs, policy.eagerBeta);
  const shape = policy.template.parts === 1 ? [] : policy.template.stampsOf(key).slice(1);
  const entry = new MemoryEntry(
    key,
    found.value,
    bytes,
    found.provenAtMs,
    freshUntilMs,
    freshUntilMs + staleMs,
    freshUntilMs - eagerMs,
    found.loadMs,
    ticket.sequence,
    [...shape, ...found.tagNames],
  );
  const isFilled = memory.fill(ticket, entry);
  if (!isFilled) counters.refusedFills += 1;
  return isFilled;
}
