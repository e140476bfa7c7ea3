import { Cron } from 'croner';

/** When a cron pattern falls due, in a time zone. Pure: croner only does the sums, no timer is its own. */
export class CronTimes {
  readonly #cron: Cron;

  /** @throws TypeError for a pattern or a time zone that makes no sense. */
  constructor(pattern: string, timeZone: string) {
    this.#cron = new Cron(pattern, { timezone: timeZone, paused: true });
    // An unknown time zone is only noticed when it is used.
    this.#cron.nextRun();
  }

  /** The first moment after the given one; undefined if there is none. */
  after(wallMs: number): number | undefined {
    return this.#cron.nextRun(new Date(wallMs))?.getTime();
  }
}
