import type { ConfigurationFault } from '@shardline/core';
import * as v from 'valibot';
import { RuleBook, type RuleHit } from '../invalidate/rules.js';
import { CronTimes } from './cron-times.js';

/** What is invalidated when. */
export interface ScheduleOptions {
  /** Five or six fields: `'0 4 * * *'`, `'0 30 6 * * MON-FRI'`. */
  readonly cron: string;
  /** An IANA name: `'Europe/Berlin'`. @default 'UTC' */
  readonly timeZone?: string | undefined;
  /** As in `rules`, without placeholders: `'leaderboards:*'`, `'odds:today'`, `'posts#pinned'`. */
  readonly invalidate: readonly string[];
}

export const scheduleSchema = v.strictObject({
  cron: v.string(),
  timeZone: v.optional(v.string(), 'UTC'),
  invalidate: v.pipe(v.array(v.string()), v.minLength(1, 'must name at least one target')),
});

/** One schedule, parsed. */
export interface Schedule {
  readonly name: string;
  readonly times: CronTimes;
  readonly hits: readonly RuleHit[];
}

/** Parses schedules; what is wrong with them goes into the faults. */
export function parseSchedules(
  options: Readonly<Record<string, v.InferOutput<typeof scheduleSchema>>>,
  faults: ConfigurationFault[],
): { readonly schedules: readonly Schedule[]; readonly book: RuleBook } {
  const targets = Object.entries(options).map(([name, { invalidate }]) => [name, invalidate]);
  const book = new RuleBook(Object.fromEntries(targets), 'schedules');
  faults.push(...book.faults);
  const schedules = Object.entries(options).flatMap(([name, { cron, timeZone, invalidate }]) => {
    const path = `schedules['${name}']`;
    if (invalidate.some((target) => /[{}]/.test(target))) {
      const message = 'names a placeholder, but a schedule has no event to take it from';
      faults.push({ path: `${path}.invalidate`, message });
      return [];
    }
    if (book.faults.length > 0) return [];
    try {
      return [{ name, times: new CronTimes(cron, timeZone), hits: book.hitsOf(name, {}) }];
    } catch (error) {
      faults.push({ path, message: `'${cron}' in '${timeZone}': ${(error as Error).message}` });
      return [];
    }
  });
  return { schedules, book };
}
