import type { Frame, StandingFreshness } from '../entry/frame.js';
import type { EntryTimes } from './refresh.js';

/** A value on its way to the caller and into the tiers above where it was found. */
export interface Found extends EntryTimes {
  /** Undefined when the key does not exist in the source. */
  readonly value: unknown;
  readonly isAbsent: boolean;
  /** Later than any invalidation that this value may not know of began to be acknowledged. */
  readonly provenAtMs: number;
  /** Stamps besides those that the key's shape gives: the tags. */
  readonly tagNames: readonly string[];
  /** How fresh it was to be read, for whoever loads after it. */
  readonly standing: StandingFreshness | undefined;
  /** The body as it stands in a tier, so that a promotion need not write it anew. */
  readonly packed: PackedBody | undefined;
}

export type PackedBody = Pick<Frame, 'codec' | 'compression' | 'rawBytes' | 'body'>;
