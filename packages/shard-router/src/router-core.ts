/**
 * What all calls of a router share: the shards, the topology in force, how to wait for news of it.
 *
 * The engine of every call is here. A call enters the gate of its slots, is routed by the topology in force at that
 * moment, runs, and is judged: *done*, or *moved* (the guard refused it, or the check found that the slot has
 * another owner or epoch). A moved call waits for news and goes again, until its time is up. Nothing that may have
 * had an effect is ever run again.
 */

import { type Clock, ShardlineError, sleep } from '@shardline/core';
import { routerErrors } from './errors.js';
import type { SlotGate } from './route/slot-gate.js';
import type { FilledRouterOptions } from './router-options.js';
import type { Shard } from './shard/shard.js';
import { isCovered } from './topology/lease.js';
import { misplacedWrite } from './topology/ownership.js';
import type { KeyspaceTopology, Topology } from './topology/topology.js';
import type { CatalogWatcher } from './topology/watcher.js';

/** What one caller grants. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** What one statement is given beside its text and values. */
export interface StatementOptions extends CallOptions {
  /**
   * Names a prepared statement, as `name` of a `pg.QueryConfig` does: each connection parses and plans the text once.
   * One name stands for one text. @default parsed each time
   */
  readonly name?: string | undefined;
}

/** Where an attempt runs. */
export interface Route {
  readonly shard: Shard;
  readonly topology: KeyspaceTopology;
  readonly routedAtMs: number;
}

/** The judgement of an attempt. */
export type Attempt<T> = { readonly done: true; readonly value: T } | typeof MOVED;

/** The slot is another shard's, or of another epoch: the attempt had no effect and does not count. */
export const MOVED = { done: false } as const;

export function done<T>(value: T): Attempt<T> {
  return { done: true, value };
}

/** Counts that metrics and `health` show. */
export interface RouterCounts {
  calls: number;
  verified: number;
  reruns: number;
  refusedWrites: number;
  scatters: number;
}

/** Pauses between attempts while a switch is under way. */
const FIRST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 50;

/** The shared state of a router. */
export class RouterCore {
  readonly clock: Clock;
  readonly options: FilledRouterOptions;
  readonly shards: ReadonlyMap<string, Shard>;
  readonly counts: RouterCounts = {
    calls: 0,
    verified: 0,
    reruns: 0,
    refusedWrites: 0,
    scatters: 0,
  };
  /** Undefined with a fixed topology, where nothing ever moves and nothing needs a check. */
  watcher: CatalogWatcher | undefined;
  topology: Topology;

  constructor(
    options: FilledRouterOptions,
    shards: ReadonlyMap<string, Shard>,
    topology: Topology,
    clock: Clock,
  ) {
    this.options = options;
    this.shards = shards;
    this.topology = topology;
    this.clock = clock;
  }

  /** Whether an answer needs no check: nothing can have moved between its routing and now. */
  isCovered(routedAtMs: number): boolean {
    if (this.watcher === undefined) return true;
    if (this.options.verify === 'always') return false;
    return isCovered(this.watcher.lease, routedAtMs, this.clock.monotonicMs());
  }

  /** @throws ShardlineError `SHARD_MISSING`. */
  shard(name: string): Shard {
    const shard = this.shards.get(name);
    if (shard !== undefined) return shard;
    throw new ShardlineError(
      routerErrors.SHARD_MISSING,
      `The topology of epoch ${this.topology.epoch} names shard '${name}', for which this router has no settings.`,
      { details: { shard: name, epoch: this.topology.epoch } },
    );
  }

  /** Shards of the topology that this router has settings for; one that is yet to join is not among them. */
  members(): Shard[] {
    return this.topology.shards.flatMap(({ name }) => this.shards.get(name) ?? []);
  }

  /** Until when a call that begins now may wait for slots. */
  deadline(): number {
    return this.clock.monotonicMs() + this.options.holdTimeoutMs;
  }

  /** Runs attempts of a call whose slots are all owned by one shard. */
  async onSlots<T>(
    keyspace: {
      readonly name: string;
      readonly topology: KeyspaceTopology;
      readonly gate: SlotGate;
    },
    slots: readonly number[],
    call: CallOptions & { untilMs: number },
    attempt: (route: Route) => Promise<Attempt<T>>,
  ): Promise<Attempt<T>> {
    this.counts.calls += 1;
    for (let attempts = 0; ; attempts += 1) {
      await enterAll(keyspace.gate, slots, call);
      const { topology } = keyspace;
      const routedAtMs = this.clock.monotonicMs();
      let outcome: Attempt<T>;
      try {
        const shard = this.shard(topology.ownerOf(slots[0] as number));
        // The group was made by an older topology: its keys may live on several shards by now.
        if (slots.some((slot) => topology.ownerOf(slot) !== shard.name)) return MOVED;
        if (!shard.isChecked) await shard.ensureChecked();
        outcome = await attempt({ shard, topology, routedAtMs });
      } catch (error) {
        if (misplacedWrite(error) === undefined) throw error;
        this.counts.refusedWrites += 1;
        outcome = MOVED;
      } finally {
        for (const slot of slots) keyspace.gate.leave(slot);
      }
      if (outcome.done) return outcome;
      this.counts.reruns += 1;
      await this.news(keyspace.name, topology, slots, call, attempts);
    }
  }

  /** Checks, after a read, that its slots were and are owned by the shard since the epochs it was routed by. */
  async isVerified(keyspace: string, route: Route, slots: readonly number[]): Promise<boolean> {
    if (this.isCovered(route.routedAtMs)) return true;
    this.counts.verified += 1;
    const check = route.shard.ownership(keyspace);
    const answers = await Promise.all(
      slots.map((slot) => check.isOwnedSince(slot, route.topology.slotEpoch(slot))),
    );
    return answers.every(Boolean);
  }

  /**
   * Waits for news of the topology after a call met a shard that disagrees.
   *
   * @throws ShardlineError `SLOT_HELD` when the call's time is up.
   */
  async news(
    keyspace: string,
    routedBy: KeyspaceTopology,
    slots: readonly number[],
    call: CallOptions & { untilMs: number },
    attempts: number,
  ): Promise<void> {
    const leftMs = call.untilMs - this.clock.monotonicMs();
    if (leftMs <= 0 || this.watcher === undefined) throw notSettled(keyspace, slots, routedBy);
    const epoch = this.topology.epoch;
    await this.watcher.refresh(call.signal).catch((error: unknown) => {
      // The catalog is away: the shards alone know better. Wait and ask again until the call's time is up.
      if (call.signal?.aborted) throw error;
    });
    if (this.topology.epoch !== epoch) return;
    const pauseMs = Math.min(
      FIRST_PAUSE_MS * 2 ** Math.min(attempts, 10),
      LONGEST_PAUSE_MS,
      leftMs,
    );
    await sleep(pauseMs, { signal: call.signal, clock: this.clock, doing: 'Waiting for a switch' });
  }
}

/** All or none: to wait for one held slot while another is counted in flight would keep the hold from draining. */
async function enterAll(
  gate: SlotGate,
  slots: readonly number[],
  call: CallOptions & { untilMs: number },
): Promise<void> {
  for (let at = 0; at < slots.length; ) {
    if (gate.tryEnter(slots[at] as number)) {
      at += 1;
      continue;
    }
    for (let entered = 0; entered < at; entered += 1) gate.leave(slots[entered] as number);
    const held = slots[at] as number;
    await gate.enter(held, call);
    gate.leave(held);
    at = 0;
  }
}

function notSettled(
  keyspace: string,
  slots: readonly number[],
  routedBy: KeyspaceTopology,
): ShardlineError {
  const slot = slots[0] as number;
  return new ShardlineError(
    routerErrors.SLOT_HELD,
    `Slot ${slot} of keyspace '${keyspace}' did not settle at one owner in time; this router knows shard '${routedBy.ownerOf(slot)}' since epoch ${routedBy.slotEpoch(slot)}.`,
    { details: { keyspace, slots: slots.slice(0, 20) } },
  );
}
