import type { Clock, ScheduledCall } from '@shardline/core';
import { loadGrammar } from './classify/grammar.js';
import { loadCatalog } from './classify/load-catalog.js';
import { type Classifier, createClassifier } from './classify/statement.js';
import { FunctionCatalog } from './classify/volatile-functions.js';

/**
 * Keeps the classifier's knowledge current: the grammar, loaded once per process, and the catalog of
 * functions and views, read when the pool is first used and again when a name turns up that it does
 * not hold. All of it happens beside the statements; what is not known yet runs on the primary.
 */
export interface ClassifyServiceOptions {
  readonly pureFunctions: readonly string[];
  /** Runs the catalog's statement on some server of the cluster. */
  readonly query: (text: string) => Promise<{ readonly rows: readonly unknown[] }>;
  readonly clock: Clock;
}

const REFRESH_INTERVAL_MS = 5000;

/** A classifier and what feeds it. */
export class ClassifyService {
  readonly classifier: Classifier;
  readonly #options: ClassifyServiceOptions;
  readonly #catalog: FunctionCatalog;
  #starting: Promise<void> | undefined;
  #reading: Promise<void> | undefined;
  #timer: ScheduledCall | undefined;
  #isStopped = false;

  constructor(options: ClassifyServiceOptions) {
    this.#options = options;
    this.#catalog = new FunctionCatalog(options.pureFunctions);
    this.classifier = createClassifier({ volatileFunctions: this.#catalog });
  }

  /** Loads what is needed; resolves when reads can be told from writes. Safe to call often. */
  start(): Promise<void> {
    this.#starting ??= Promise.all([loadGrammar(), this.#refresh()]).then(() => this.#watch());
    return this.#starting;
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #watch(): void {
    if (this.#isStopped) return;
    this.#timer = this.#options.clock.schedule(REFRESH_INTERVAL_MS, () => {
      void this.#refresh().then(() => this.#watch());
    });
  }

  #refresh(): Promise<void> {
    const { clock, query } = this.#options;
    if (this.#isStopped || !this.#catalog.wantsRefresh(clock.now())) return Promise.resolve();
    this.#reading ??= loadCatalog(this.#catalog, query, clock.now())
      .catch(() => {
        // Without it the built-in lists hold, which know fewer reads; the timer tries again.
      })
      .finally(() => {
        this.#reading = undefined;
      });
    return this.#reading;
  }
}
