import { type Duration, durationOption, integerOption } from '@shardline/core';
import * as v from 'valibot';
import type { Rules } from '../invalidate/rules.js';

/** How a cache warms itself, and what that may cost. */
export interface WarmingOptions {
  /**
   * What each event makes likely to be asked for next: `{ userLogin: ['preferences:{userId}'] }`. Read in the
   * background when the event is emitted.
   */
  readonly events?: Rules | undefined;
  /**
   * Before each hour begins, read what was hot in that hour of the week, in namespaces with `hotKeys`; one
   * process does it for all. How long before: 1 to 59 minutes. @default never
   */
  readonly peakHoursAhead?: Duration | undefined;
  /** Reads under way at a time. @default 4 */
  readonly concurrency?: number | undefined;
  /** Loads a second that warming adds in this process. @default 100 */
  readonly loadsPerSecond?: number | undefined;
  /** A run stops when the namespace's loads of the last minute exceed this. @default '500ms' */
  readonly maxLoadP99?: Duration | undefined;
  /** Most keys that wait to be read because of events; further ones are let go. @default 1000 */
  readonly maxQueued?: number | undefined;
}

export const warmingSchema = v.strictObject({
  events: v.optional(v.record(v.string(), v.array(v.string())), {}),
  peakHoursAhead: v.optional(durationOption({ min: '1m', max: '59m' })),
  concurrency: v.optional(integerOption(1, 1000), 4),
  loadsPerSecond: v.optional(integerOption(1, 1_000_000), 100),
  maxLoadP99: v.optional(durationOption({ min: '1ms', max: '10m' }), '500ms'),
  maxQueued: v.optional(integerOption(1, 10_000_000), 1000),
});

/** The same with every default filled in. */
export type WarmingSettings = v.InferOutput<typeof warmingSchema>;
