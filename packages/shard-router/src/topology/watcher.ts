/**
 * Follows the catalog: polls it, is woken by NOTIFY, applies what is new, acknowledges.
 *
 * Always holds: polling alone is enough. NOTIFY only makes the next poll come at once; it is lost when the
 * connection drops and never arrives behind a transaction pooler. While the catalog cannot be reached the router
 * goes on with what it knows; its lease ends, so calls are verified against the shards, and nothing stops.
 *
 * Whoever is woken looks at once and acknowledges at once, since callers of held slots wait for both. It renews no
 * lease first: the acknowledgement is a renewal, and what a lease covers does not depend on which comes first. Nor does
 * it join a poll under way, which may have looked before there was news.
 *
 * The order of an application matters. New holds are in force first; then the new topology is in force; then
 * old holds are released, so that whoever waited is routed by the new one; then, once nothing that was routed
 * before is in flight on held slots, the revision is acknowledged.
 */

import { type Clock, type ScheduledCall, SingleFlight, systemClock } from '@shardline/core';
import type { Queryable } from '../shard/queryable.js';
import {
  CATALOG_CHANNEL,
  type CatalogState,
  loadCatalog,
  newestRevision,
  renewLease,
  unregisterRouter,
} from './catalog.js';
import { type Lease, NO_LEASE, renewedLease } from './lease.js';

/** A connection to the catalog as the watcher uses it. */
export interface CatalogClient extends Queryable {
  release(destroy?: boolean | Error): void;
  on(event: 'notification' | 'error' | 'end', listener: (fact?: unknown) => void): unknown;
  removeAllListeners(event: 'notification'): unknown;
}

/** The catalog's pool as the watcher uses it. */
export interface CatalogPool extends Queryable {
  connect(): Promise<CatalogClient>;
}

/** How the watcher works. */
export interface WatcherOptions {
  readonly pool: CatalogPool;
  readonly routerId: string;
  readonly routerName: string;
  readonly version: string;
  readonly pollMs: number;
  readonly leaseMs: number;
  /** Whether to LISTEN; off behind a transaction pooler. */
  readonly listen: boolean;
  readonly clock?: Clock;
  /**
   * Brings a state into force; resolves when it may be acknowledged. Called with states of rising revision,
   * one at a time.
   */
  readonly apply: (state: CatalogState) => Promise<void>;
  /** A poll failed; the next one comes by itself. */
  readonly onError: (error: unknown) => void;
}

/** Keeps a router in step with its catalog. */
export class CatalogWatcher {
  readonly #options: WatcherOptions;
  readonly #clock: Clock;
  readonly #polls = new SingleFlight<'poll', void>();
  #lease: Lease = NO_LEASE;
  #acknowledged = -1;
  #applying: Promise<void> = Promise.resolve();
  #applied = -1;
  #unfinished: CatalogState | undefined;
  #isLooking = false;
  #hasNews = false;
  #timer: ScheduledCall | undefined;
  #listener: CatalogClient | undefined;
  #isListening = false;
  #isClosed = false;
  /** When a poll last succeeded, on the monotonic clock. */
  lastSeenAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  get lease(): Lease {
    return this.#lease;
  }

  /** Revision that is in force. */
  get appliedRevision(): number {
    return this.#applied;
  }

  /** Takes a state that was loaded elsewhere as the beginning, and goes on by itself. */
  async start(state: CatalogState): Promise<void> {
    this.#applied = state.revision;
    await this.#options.apply(state);
    this.#acknowledged = state.revision;
    await this.#pollOnce().catch(this.#options.onError);
    this.#schedule();
  }

  /**
   * Polls now, and resolves when what was found is in force. Concurrent callers share one poll, and none joins
   * a poll that began before it asked.
   */
  async refresh(signal?: AbortSignal): Promise<void> {
    if (this.#polls.has('poll')) {
      // Its answer may be from before the caller's question, so it does not count; the next one does.
      await this.#polls
        .run('poll', () => this.#poll(), { signal })
        .catch(() => {
          // Whoever started it hears of its failure; this caller asks again.
        });
    }
    await this.#polls.run('poll', () => this.#poll(), { signal });
  }

  /** Ends polling and takes this router off the list, if the catalog answers in time. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#lease = NO_LEASE;
    this.#dropListener();
    await unregisterRouter(this.#options.pool, this.#options.routerId).catch(() => {
      // The catalog is away: the lease, which nobody renews, ends by itself.
    });
  }

  #schedule(): void {
    if (this.#isClosed) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.schedule(this.#options.pollMs, () => this.#tick());
  }

  #tick(): void {
    void this.#pollOnce()
      .catch((error: unknown) => {
        if (!this.#isClosed) this.#options.onError(error);
      })
      .finally(() => this.#schedule());
  }

  /** Looks, and looks again if there was news while it looked. A failure is made good by the next poll. */
  async #wake(): Promise<void> {
    this.#hasNews = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      while (this.#hasNews && !this.#isClosed) {
        this.#hasNews = false;
        await this.#load();
      }
    } catch (error) {
      if (!this.#isClosed) this.#options.onError(error);
    } finally {
      this.#isLooking = false;
    }
  }

  #pollOnce(): Promise<void> {
    return this.#polls.run('poll', () => this.#poll());
  }

  async #poll(): Promise<void> {
    this.#ensureListener();
    await this.#renew();
    if ((await newestRevision(this.#options.pool)) !== this.#applied) await this.#load();
    else if (this.#unfinished !== undefined) this.#bringIntoForce(this.#unfinished);
    this.lastSeenAtMs = this.#clock.monotonicMs();
  }

  async #renew(): Promise<void> {
    const { pool, routerId, routerName, version, leaseMs } = this.#options;
    const sentAtMs = this.#clock.monotonicMs();
    const acknowledged = this.#acknowledged;
    const newest = await renewLease(pool, {
      id: routerId,
      name: routerName,
      version,
      acknowledgedRevision: acknowledged,
      leaseMs,
    });
    if (!this.#isClosed) {
      this.#lease = renewedLease(this.#lease, { sentAtMs, leaseMs, acknowledged, newest });
    }
  }

  async #load(): Promise<void> {
    const state = await loadCatalog(this.#options.pool);
    if (state === undefined || state.revision <= this.#applied) return;
    this.#applied = state.revision;
    this.#bringIntoForce(state);
  }

  #bringIntoForce(state: CatalogState): void {
    this.#unfinished = undefined;
    // Draining may take as long as the slowest call, and polls must go on meanwhile, or a hold that was given up
    // would never be noticed. So the acknowledgement is sent when it is due, by a poll of its own.
    this.#applying = this.#options
      .apply(state)
      .then(() => this.#acknowledge(state.revision))
      .catch((error: unknown) => {
        // Held slots did not drain in time, say. It stays unacknowledged, and the next poll tries again.
        if (state.revision === this.#applied) this.#unfinished = state;
        this.#options.onError(error);
      });
  }

  async #acknowledge(revision: number): Promise<void> {
    if (revision <= this.#acknowledged || this.#isClosed) return;
    this.#acknowledged = revision;
    await this.#renew();
  }

  /** Resolves when everything found so far has been applied and acknowledged. */
  settled(): Promise<void> {
    return this.#applying;
  }

  #ensureListener(): void {
    if (!this.#options.listen || this.#isListening || this.#isClosed) return;
    this.#isListening = true;
    this.#listen().catch(() => {
      // Only the wake-up is lost; the next poll tries again.
      this.#isListening = false;
    });
  }

  async #listen(): Promise<void> {
    const client = await this.#options.pool.connect();
    if (this.#isClosed) {
      client.release(true);
      return;
    }
    const lose = () => {
      if (this.#listener !== client) return;
      this.#listener = undefined;
      this.#isListening = false;
      client.release(true);
    };
    this.#listener = client;
    client.on('error', lose);
    client.on('end', lose);
    client.on('notification', () => void this.#wake());
    await client.query(`LISTEN ${CATALOG_CHANNEL}`);
  }

  #dropListener(): void {
    const client = this.#listener;
    this.#listener = undefined;
    if (client === undefined) return;
    client.removeAllListeners('notification');
    client.release(true);
  }
}
