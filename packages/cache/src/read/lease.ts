import { type Frame, FrameKind } from '../entry/frame.js';
import type { StampPair } from '../entry/frame-extras.js';
import { ageOf } from './refresh.js';

/**
 * What a reader may do with what it found in a tier. Pure: the frame, the stamps as they are now and
 * the time go in, one of a closed set of readings comes out, and only the reading is acted on.
 */
export type Reading =
  /** Serve it; fill the tiers above. */
  | { readonly state: 'fresh'; readonly frame: Frame }
  /** Beyond its ttl, within its stale window, and nobody refreshes it yet. */
  | { readonly state: 'stale'; readonly frame: Frame }
  /** Somebody loads it. `held` may be served stale; without it, wait. */
  | { readonly state: 'leased'; readonly held: Frame | undefined }
  /** A load failed a moment ago. */
  | { readonly state: 'backoff'; readonly held: Frame | undefined }
  /** Nothing usable: take a lease on what was seen. */
  | { readonly state: 'miss' };

/** What a frame is judged by. */
export interface Judgement {
  readonly nowMs: number;
  readonly era: string;
  /** Stamps that every entry must carry, with their current values, and those of the frame's own tags. */
  readonly currentStamps: ReadonlyMap<string, string>;
  /** Names that must be among the frame's stamps. */
  readonly requiredStamps: readonly string[];
}

/** The stamp under which a frame says in which run of the store it was made. */
export const ERA_STAMP = '@';

const MISS: Reading = { state: 'miss' };

export function readingOf(frame: Frame | undefined, judgement: Judgement): Reading {
  if (frame === undefined || frame.kind === FrameKind.Tombstone) return MISS;
  const usable = frame.payload !== undefined && isValid(frame.stamps, judgement);
  if (frame.kind === FrameKind.Lease || frame.kind === FrameKind.Failed) {
    return markerReading(frame, usable, judgement);
  }
  if (!usable) return MISS;
  const age = ageOf(frame, judgement.nowMs);
  return age === 'expired' ? MISS : { state: age, frame };
}

/**
 * Whose lease has run out by this process's clock is worth a try; the tier itself decides by its own.
 */
function markerReading(frame: Frame, usable: boolean, judgement: Judgement): Reading {
  const isOver = judgement.nowMs >= frame.untilMs;
  const held = usable && ageOf(frame, judgement.nowMs) !== 'expired' ? frame : undefined;
  if (!isOver) return { state: frame.kind === FrameKind.Lease ? 'leased' : 'backoff', held };
  return held === undefined ? MISS : { state: 'stale', frame: held };
}

/** Whether every stamp is as it was when the entry was made, and none that is needed is missing. */
function isValid(stamps: readonly StampPair[], judgement: Judgement): boolean {
  let requiredSeen = 0;
  let eraSeen = judgement.era === '';
  for (const { name, value } of stamps) {
    if (name === ERA_STAMP) {
      if (value !== judgement.era) return false;
      eraSeen = true;
      continue;
    }
    if (judgement.currentStamps.get(name) !== value) return false;
    if (judgement.requiredStamps.includes(name)) requiredSeen += 1;
  }
  return eraSeen && requiredSeen === judgement.requiredStamps.length;
}
