import type { Clock } from '@shardline/core';
import type { Counters } from '../counters.js';
import { decodeFrame, type Frame, FrameKind, type StandingFreshness } from '../entry/frame.js';
import { stillStanding } from '../entry/standing-freshness.js';
import type { CurrentStamps, TierStamps } from '../invalidate/tier-stamps.js';
import type { Seen, SharedTier } from '../tiers/tier.js';
import { ERA_STAMP, type Reading, readingOf } from './lease.js';

/** One shared tier as one namespace uses it. */
export interface Level {
  readonly tier: SharedTier;
  readonly stamps: TierStamps;
  readonly maxValueBytes: number;
}

/** What was found in a level, and all that a fill of it will need. */
export interface Look {
  readonly seen: Seen;
  readonly reading: Reading;
  /** How fresh a load behind this look must read, whatever carries the mark: a lease of another, too. */
  readonly standing: StandingFreshness | undefined;
  /** The stamps that an entry made now must carry, as they stood before anything below was read. */
  readonly required: CurrentStamps;
  /** Since when the reading is known to be right, on the monotonic clock. */
  readonly goodAsOfMs: number;
}

/** How a level is looked at. */
export interface LookOptions {
  readonly address: string;
  /** Names of stamps that every entry of the key depends on. */
  readonly required: readonly string[];
  /** Ask the tier for stamps even if the bus vouches for remembered ones. */
  readonly mustAsk: boolean;
  readonly clock: Clock;
  readonly counters: Counters;
}

/**
 * Reads an entry with the stamps that it is judged by.
 *
 * Stamps are read before or together with the entry, those of its own tags after it: a stamp read later
 * than the entry can only make it look older than it is, never newer.
 */
export async function lookAt(level: Level, options: LookOptions): Promise<Look> {
  const startedAtMs = options.clock.monotonicMs();
  if (!options.mustAsk) {
    const seen = await level.tier.read(options.address);
    return (
      lookAtOnce(level, seen, startedAtMs, options) ?? lookOn(level, seen, startedAtMs, options)
    );
  }
  const [seen, required] = await Promise.all([
    level.tier.read(options.address),
    level.stamps.ask(options.required, ''),
  ]);
  return judgeWithTags(level, seen, required, startedAtMs, options);
}

/**
 * What was just read, judged by remembered stamps alone; undefined if the tier has to be asked for one. Nearly
 * every hit ends here, and each await less is a turn that it does not pay for.
 */
export function lookAtOnce(
  level: Level,
  seen: Seen,
  startedAtMs: number,
  options: LookOptions,
): Look | undefined {
  const required = level.stamps.remembered(options.required, seen.era);
  if (required === undefined) return undefined;
  const frame = seen.bytes === undefined ? undefined : decodeFrame(seen.bytes);
  if (frame !== undefined && ownTags(frame, required, options).length > 0) return undefined;
  return judge(seen, frame, required, required, startedAtMs, options);
}

/** The rest of the way from what was read to a look, with questions to the tier. */
export async function lookOn(
  level: Level,
  seen: Seen,
  startedAtMs: number,
  options: LookOptions,
): Promise<Look> {
  const { stamps } = level;
  const required =
    stamps.remembered(options.required, seen.era) ?? (await stamps.ask(options.required, seen.era));
  return judgeWithTags(level, seen, required, startedAtMs, options);
}

async function judgeWithTags(
  level: Level,
  seen: Seen,
  required: CurrentStamps,
  startedAtMs: number,
  options: LookOptions,
): Promise<Look> {
  const frame = seen.bytes === undefined ? undefined : decodeFrame(seen.bytes);
  const own = frame === undefined ? NO_NAMES : ownTags(frame, required, options);
  const current =
    own.length === 0 ? required : await withTags(level, own, required, seen.era, options);
  return judge(seen, frame, required, current, startedAtMs, options);
}

/** @param current the stamps that are required, with those of the frame's own tags. */
function judge(
  seen: Seen,
  frame: Frame | undefined,
  required: CurrentStamps,
  current: CurrentStamps,
  startedAtMs: number,
  options: LookOptions,
): Look {
  if (seen.bytes !== undefined && frame === undefined) options.counters.corruptFrames += 1;
  const nowMs = options.clock.now();
  const reading = readingOf(frame, {
    nowMs,
    era: seen.era,
    currentStamps: current.byName,
    requiredStamps: options.required,
  });
  const standing = stillStanding(frame?.standing, nowMs);
  const goodAsOfMs = Math.min(startedAtMs, current.goodAsOfMs);
  return { seen, reading, standing, required, goodAsOfMs };
}

const NO_NAMES: readonly string[] = [];

/** Names of stamps that a frame carries beyond those that every entry of its key does. */
function ownTags(
  { stamps }: Frame,
  { byName }: CurrentStamps,
  { required }: LookOptions,
): readonly string[] {
  if (stamps.length <= required.length) return NO_NAMES;
  let own: string[] | undefined;
  for (const { name } of stamps) {
    if (name === ERA_STAMP || byName.has(name)) continue;
    own ??= [];
    own.push(name);
  }
  return own ?? NO_NAMES;
}

/** The stamps with those of the frame's own tags added. */
async function withTags(
  level: Level,
  own: readonly string[],
  required: CurrentStamps,
  era: string,
  { mustAsk }: LookOptions,
): Promise<CurrentStamps> {
  const tags =
    (mustAsk ? undefined : level.stamps.remembered(own, era)) ?? (await level.stamps.ask(own, era));
  return {
    byName: new Map([...required.byName, ...tags.byName]),
    goodAsOfMs: Math.min(required.goodAsOfMs, tags.goodAsOfMs),
  };
}

/** Whether a frame says that its key does not exist in the source. */
export function isAbsence(frame: Frame): boolean {
  return frame.payload === FrameKind.Absent;
}
