import {
  acknowledgement,
  judgeRead,
  type RoutedCall,
  routeCall,
  type SlotView,
} from '../../../../packages/shard-router/src/rebalance/router-lease.js';
import {
  type Lease,
  NO_LEASE,
  renewedLease,
} from '../../../../packages/shard-router/src/topology/lease.js';
import type { EventQueue } from './event-queue.js';

export const ROUTER_LEASE_MS = 5000;
const RENEW_EVERY_MS = ROUTER_LEASE_MS / 4;
/** Wake-ups that get lost, and messages that come only after a retransmission: few, within one data centre. */
const LOST_SHARE = 1e-5;
const RETRANSMISSION_MS = 200;

/** What the catalog knows of a group of slots and of its routers; time is the world's. */
export class Catalog {
  revision = 1;
  owner = 'source';
  epoch = 1;
  isHeld = false;
  readonly #routers = new Map<number, { acknowledged: number; untilMs: number }>();
  readonly #listeners: (() => void)[] = [];

  constructor(private readonly queue: EventQueue) {}

  listen(wake: () => void): void {
    this.#listeners.push(wake);
  }

  view(): SlotView {
    const { revision, owner, epoch, isHeld } = this;
    return { revision, owner, epoch, isHeld };
  }

  /** Commits a renewal, and says afterwards which revision is the newest. */
  renew(router: number, acknowledged: number): number {
    this.#routers.set(router, { acknowledged, untilMs: this.queue.nowMs + ROUTER_LEASE_MS });
    return this.revision;
  }

  hold(): void {
    this.isHeld = true;
    this.#tell();
  }

  commit(): void {
    this.owner = this.owner === 'source' ? 'destination' : 'source';
    this.epoch += 1;
    this.isHeld = false;
    this.#tell();
  }

  /** Whether nobody routes by an older revision any more: acknowledged, or his lease is over. */
  isSettled(): boolean {
    for (const { acknowledged, untilMs } of this.#routers.values()) {
      if (acknowledged < this.revision && this.queue.nowMs < untilMs) return false;
    }
    return true;
  }

  #tell(): void {
    this.revision += 1;
    for (const wake of this.#listeners) wake();
  }
}

/** What was seen of all reads. */
export interface ReadTally {
  covered: number;
  verified: number;
  held: number;
  /** Covered, though the slots had gone to another owner before the read ended: what must never be. */
  stale: number;
}

/** A process that routes reads, renews its lease and acknowledges; now and then it is frozen. */
export class RouterProcess {
  #view: SlotView;
  #acknowledged = 0;
  #lease: Lease = NO_LEASE;
  readonly #inFlight: RoutedCall[] = [];
  readonly #waiting: (() => void)[] = [];
  #frozenUntilMs = 0;
  #isRenewing = false;
  readonly #drift: number;

  constructor(
    private readonly index: number,
    private readonly queue: EventQueue,
    private readonly random: () => number,
    private readonly catalog: Catalog,
    private readonly tally: ReadTally,
    private readonly world: { readonly readEveryMs: number; readonly freezesPerSecond: number },
  ) {
    this.#view = catalog.view();
    this.#drift = 1 + (random() - 0.5) / 100;
    // A wake-up is a hint: some get lost, and the next poll tells.
    catalog.listen(() => {
      if (random() > LOST_SHARE) this.#later(this.#wayMs(), () => this.#learn());
    });
  }

  start(): void {
    this.queue.after(this.random() * RENEW_EVERY_MS, () => this.#poll());
    this.queue.after(this.random() * this.world.readEveryMs, () => this.#read());
  }

  #poll(): void {
    if (this.random() < (this.world.freezesPerSecond * RENEW_EVERY_MS) / 1000) {
      this.#frozenUntilMs = this.queue.nowMs + 200 + this.random() * 2 * ROUTER_LEASE_MS;
    }
    this.#learn();
    this.queue.after(RENEW_EVERY_MS, () => this.#later(0, () => this.#poll()));
  }

  #learn(): void {
    this.queue.after(this.#wayMs(), () => {
      const view = this.catalog.view();
      this.#later(this.#wayMs(), () => {
        if (view.revision > this.#view.revision) this.#apply(view);
        this.#renew();
      });
    });
  }

  #apply(view: SlotView): void {
    this.#view = view;
    if (view.isHeld) return;
    for (const route of this.#waiting.splice(0)) route();
  }

  #renew(): void {
    if (this.#isRenewing) return;
    this.#isRenewing = true;
    this.#acknowledged = acknowledgement(this.#view, this.#acknowledged, this.#inFlight);
    const acknowledged = this.#acknowledged;
    const sentAtMs = this.#nowMs();
    this.queue.after(this.#wayMs(), () => {
      const newest = this.catalog.renew(this.index, acknowledged);
      this.#later(this.#wayMs(), () => {
        this.#isRenewing = false;
        const renewal = { sentAtMs, leaseMs: ROUTER_LEASE_MS, acknowledged, newest };
        this.#lease = renewedLease(this.#lease, renewal);
        if (newest > this.#view.revision) this.#learn();
        else if (this.#hasNewsToAcknowledge()) this.#renew();
      });
    });
  }

  #read(): void {
    this.queue.after(-Math.log(1 - this.random()) * this.world.readEveryMs, () =>
      this.#later(0, () => this.#read()),
    );
    this.#route();
  }

  #route(): void {
    const call = routeCall(this.#view, this.#nowMs());
    if (call === undefined) {
      this.tally.held += 1;
      this.#waiting.push(() => this.#route());
      return;
    }
    this.#inFlight.push(call);
    this.queue.after(this.#wayMs(), () => {
      // Here the shard answers. Whether it still owns the slots is judged when the answer is there.
      this.#later(this.#wayMs() + this.random() * 5, () => this.#end(call));
    });
  }

  #end(call: RoutedCall): void {
    this.#inFlight.splice(this.#inFlight.indexOf(call), 1);
    if (judgeRead(call, this.#lease, this.#nowMs()) === 'verify') this.tally.verified += 1;
    else {
      this.tally.covered += 1;
      if (this.catalog.owner !== call.target || this.catalog.epoch !== call.epoch) {
        this.tally.stale += 1;
      }
    }
    // What was in flight may have been all that kept a revision from being acknowledged.
    if (this.#hasNewsToAcknowledge()) this.#renew();
  }

  #hasNewsToAcknowledge(): boolean {
    const possible = acknowledgement(this.#view, this.#acknowledged, this.#inFlight);
    return possible > this.#acknowledged;
  }

  /** A frozen process does nothing until it thaws; what came in meanwhile is done then. */
  #later(delayMs: number, run: () => void): void {
    this.queue.after(delayMs, () => {
      if (this.queue.nowMs >= this.#frozenUntilMs) run();
      else this.queue.after(this.#frozenUntilMs - this.queue.nowMs, () => this.#later(0, run));
    });
  }

  #nowMs(): number {
    return this.queue.nowMs * this.#drift;
  }

  #wayMs(): number {
    const ordinaryMs = 0.2 + 2 * this.random() ** 3;
    return this.random() < LOST_SHARE ? RETRANSMISSION_MS + ordinaryMs : ordinaryMs;
  }
}
