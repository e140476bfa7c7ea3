import {
  type Clock,
  type ConfigurationFault,
  configurationError,
  type ScheduledCall,
} from '@shardline/core';
import type { RedisConnection } from '@shardline/core/redis';
import type { CacheSettings } from './cache-options.js';
import type { InvalidationReport } from './invalidate/invalidator.js';
import type { InvalidationRecord } from './invalidate/outbox.js';
import { RuleBook } from './invalidate/rules.js';
import { recordOf } from './invalidate/tasks.js';
import type { NamespaceRuntime } from './runtime.js';
import { CronTimes } from './schedule/cron-times.js';
import { parseSchedules } from './schedule/schedules.js';
import { TickLock } from './schedule/tick-lock.js';
import { type Timed, Timetable } from './schedule/timetable.js';
import { planKeys } from './warm/warm-plan.js';
import { type Warmable, Warmer, type WarmKey } from './warm/warmer.js';

/** What the work behind a cache needs of it. */
export interface BackgroundParts {
  readonly settings: CacheSettings;
  readonly clock: Clock;
  readonly redis: RedisConnection | undefined;
  readonly runtimes: ReadonlyMap<string, NamespaceRuntime>;
  readonly find: (namespace: string) => Warmable;
  readonly apply: (records: readonly InvalidationRecord[]) => Promise<InvalidationReport>;
  readonly closing: AbortSignal;
  readonly onError: (error: unknown, doing: string) => void;
}

/** Each process adds what it counted to Redis this often. */
const SAVE_MS = 60_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

/** Everything that a cache does without being asked: schedules, warming, and the count of hot keys. */
export class Background {
  readonly warmer: Warmer;
  readonly scheduled: RuleBook;
  readonly #parts: BackgroundParts;
  readonly #events: RuleBook;
  readonly #timetable: Timetable;
  readonly #working = new Set<Promise<void>>();
  #saving: ScheduledCall | undefined;

  /** @throws ShardlineError `CONFIG_INVALID`, naming every fault of schedules and warming. */
  constructor(parts: BackgroundParts) {
    const { settings, clock, redis, closing, find, onError } = parts;
    this.#parts = parts;
    const faults: ConfigurationFault[] = [];
    const { schedules, book } = parseSchedules(settings.schedules, faults);
    this.scheduled = book;
    this.#events = new RuleBook(settings.warming.events, 'warming.events');
    faults.push(...this.#events.faults, ...keyFaults(this.#events, settings.warming.events));
    if (faults.length > 0) throw configurationError('createCache', faults);
    this.warmer = new Warmer(settings.warming, { clock, find, closing });
    const timed: Timed[] = schedules.map(({ name, times, hits }) => ({
      name: `schedule:${name}`,
      times,
      work: async () => (await parts.apply(hits.map(recordOf))).acknowledged,
    }));
    const lock = redis && new TickLock(redis, settings.prefix, settings.l2Timeout, clock);
    this.#timetable = new Timetable([...timed, ...this.#peakHours()], { clock, lock, onError });
    this.#planSave();
  }

  /** Whether an event makes anything likely. */
  predicts(event: string): boolean {
    return this.#events.has(event);
  }

  /** @throws ShardlineError `CACHE_EVENT_PAYLOAD`. */
  predictedKeys(event: string, payload: unknown): readonly WarmKey[] {
    return this.#events.hitsOf(event, payload).map(({ namespace, text }) => ({
      namespace,
      key: text,
    }));
  }

  /** Reads, in the background, what an event has made likely. */
  predict(keys: readonly WarmKey[]): void {
    if (!this.#parts.closing.aborted)
      this.#track(this.warmer.predict(keys), 'warming for an event');
  }

  async close(): Promise<void> {
    this.#saving?.cancel();
    await this.#timetable.close();
    await Promise.all(this.#working);
    await this.#save();
  }

  #peakHours(): Timed[] {
    const { settings, runtimes, clock } = this.#parts;
    const aheadMs = settings.warming.peakHoursAhead;
    if (aheadMs === undefined) return [];
    const minute = 60 - Math.round(aheadMs / MINUTE_MS);
    const work = async (tickMs: number): Promise<boolean> => {
      const hour = new Date(tickMs + HOUR_MS);
      await this.#save();
      await this.warmer.run({
        keys: planKeys({ hot: hour }, runtimes.values(), clock.now()),
        timeoutMs: aheadMs,
      });
      return true;
    };
    return [{ name: 'peak-hours', times: new CronTimes(`${minute} * * * *`, 'UTC'), work }];
  }

  #planSave(): void {
    this.#saving = this.#parts.clock.schedule(SAVE_MS, () => {
      this.#track(this.#save(), 'saving hot keys');
      this.#planSave();
    });
  }

  async #save(): Promise<void> {
    const { runtimes, onError } = this.#parts;
    await Promise.all(
      [...runtimes.values()].map(({ hotKeys }) =>
        hotKeys?.save().catch((error) => onError(error, 'saving hot keys')),
      ),
    );
  }

  #track(work: Promise<void>, doing: string): void {
    const watched = work.catch((error) => this.#parts.onError(error, doing));
    this.#working.add(watched);
    void watched.finally(() => this.#working.delete(watched));
  }
}

/** Only keys can be read ahead: nobody knows which keys a tag or a pattern covers. */
function keyFaults(
  book: RuleBook,
  events: Readonly<Record<string, readonly string[]>>,
): ConfigurationFault[] {
  const isKey = (target: string) => /^[^:#]+:/.test(target) && !target.split(':').includes('*');
  return book.faults.length > 0
    ? []
    : Object.entries(events).flatMap(([event, targets]) =>
        targets
          .map((target, index) => ({ target, path: `warming.events['${event}'][${index}]` }))
          .filter(({ target }) => !isKey(target))
          .map(({ target, path }) => ({ path, message: `'${target}' must be 'namespace:key'` })),
      );
}
