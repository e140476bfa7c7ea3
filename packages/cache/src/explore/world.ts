import { expect } from 'vitest';
import { decodeFrame, FrameKind } from '../entry/frame.js';
import {
  type Cache,
  type CacheNamespace,
  createCache,
  FRESHEST,
  type NamespaceOptions,
} from '../index.js';
import type { Scenario, Scheduler } from './scheduler.js';
import { ScriptedWire } from './scripted-bus.js';
import { type Mutant, ScriptedStore, ScriptedTier } from './scripted-tier.js';

/** The tiers and the policy that a scenario runs on. */
export interface Setup {
  readonly tiers: readonly ('l1' | 'l2' | 'l3')[];
  readonly options?: Partial<NamespaceOptions<number>>;
  readonly mutant?: Mutant | undefined;
  /** Values whose first write fails after it was done; made anew for each schedule. */
  readonly failing?: readonly number[];
  /** Loads read from replicas that have reached what they are told to reach, and nothing after it. */
  readonly isLagging?: boolean;
  /** Updates can tell which of two values is of the later change; `'wrongly'` is a planted fault. */
  readonly knowsOrder?: 'rightly' | 'wrongly';
}

/** Two processes, one source, and what everyone saw. */
export class World {
  readonly stores = { l2: new ScriptedStore(), l3: new ScriptedStore() };
  readonly wire: ScriptedWire;
  readonly caches: Cache[] = [];
  readonly buses = new Map<string, ReturnType<ScriptedWire['endpoint']>>();
  /** What the source holds. */
  version = 1;
  readonly #written = new Map<number, number>();
  readonly #failing: Set<number>;
  /** The newest version whose invalidation was acknowledged. */
  floor = 0;

  constructor(
    readonly scheduler: Scheduler,
    readonly setup: Setup,
  ) {
    this.wire = new ScriptedWire(scheduler);
    this.#failing = new Set(setup.failing);
  }

  process(name: string): CacheNamespace<number> {
    const { scheduler, setup } = this;
    const bus = this.wire.endpoint(name);
    const tier = (id: 'l2' | 'l3') =>
      new ScriptedTier(id, this.stores[id], scheduler, name, setup.mutant);
    const cache = createCache({
      l2: tier('l2'),
      l3: tier('l3'),
      bus,
      clock: scheduler.clock,
      random: () => 0.5,
    });
    this.caches.push(cache);
    this.buses.set(name, bus);
    return cache.namespace<number>('n', {
      ttl: '1h',
      tiers: setup.tiers,
      l1: { maxEntries: 8 },
      leaseWait: '50ms',
      load: async (_key, { freshness }) => {
        await scheduler.step(`${name} load`);
        const read = setup.isLagging === true ? this.#replicaThatHas(freshness) : this.version;
        await scheduler.step(`${name} loaded`);
        return read;
      },
      store: async (_key, value) => {
        await scheduler.step(`${name} store`);
        this.version += 1;
        this.#written.set(value, this.version);
        if (this.#failing.delete(value)) throw new Error('written, but nobody is told');
        await scheduler.step(`${name} stored`);
      },
      ...setup.options,
    });
  }

  /** What the slowest replica holds that will do. */
  #replicaThatHas(freshness: string | undefined): number {
    return freshness === FRESHEST ? this.version : Number(freshness ?? 1);
  }

  /** The version that a value stands for: what was written through has a number of its own. */
  versionOf(value: number): number {
    return this.#written.get(value) ?? value;
  }

  /** Writes to the source, then invalidates. */
  async change(through: CacheNamespace<number>): Promise<void> {
    await this.scheduler.step('write');
    this.version += 1;
    const version = this.version;
    const { acknowledged } = await through.invalidate('k', { freshness: String(version) });
    if (acknowledged) this.floor = Math.max(this.floor, version);
  }

  /** Invalidates without a mark: for the sake of something that no replica lags behind with. */
  async touch(through: CacheNamespace<number>): Promise<void> {
    await this.scheduler.step('touch begins');
    await through.invalidate('k');
  }

  /** Writes to the source behind the cache, and waits until the source has it. */
  async writeBehind(through: CacheNamespace<number>, value: number): Promise<void> {
    await this.scheduler.step('write behind begins');
    await through.set('k', value);
    const { unwritten } = await through.flush({ deadline: '1h' });
    expect(unwritten).toEqual([]);
    this.floor = Math.max(this.floor, this.versionOf(value));
  }

  /** A read that must be no older than what its own process has written behind before. */
  async readOwnWrite(from: CacheNamespace<number>, written: number): Promise<void> {
    await this.scheduler.step('own read begins');
    const read = (await from.get('k')) as number;
    if (read === written) return;
    const version = this.#written.get(written);
    expect(version, `read ${read}, but ${written} is not in the source yet`).toBeDefined();
    expect(this.versionOf(read), 'own read').toBeGreaterThanOrEqual(version as number);
  }

  /** Writes to the source through the cache. */
  async writeThrough(through: CacheNamespace<number>, value: number): Promise<void> {
    await this.scheduler.step('write through begins');
    const { acknowledged } = await through.set('k', value);
    if (acknowledged) this.floor = Math.max(this.floor, this.versionOf(value));
  }

  /** Changes the source by work of its own, and caches what that returned. */
  async update(through: CacheNamespace<number>, fails = false): Promise<void> {
    await this.scheduler.step('update begins');
    let version = 0;
    const work = async () => {
      await this.scheduler.step('update works');
      this.version += 1;
      version = this.version;
      await this.scheduler.step('update has worked');
      if (fails) throw new Error('written, but nobody is told');
      return version;
    };
    const storedOf = async (result: number) => {
      await this.scheduler.step('update says what is stored');
      return result;
    };
    const { knowsOrder } = this.setup;
    const isLater =
      knowsOrder &&
      ((value: number, other: number) =>
        knowsOrder === 'rightly' ? value > other : value < other);
    const change = { work, storedOf, isLater };
    const done = await through.updateReported('k', change).catch(() => undefined);
    if (done?.report.acknowledged === true) this.floor = Math.max(this.floor, version);
  }

  /** Writes to the source under leases of the cache, and is never heard of again. */
  async writeAndDie(through: CacheNamespace<number>): Promise<void> {
    await new Promise<void>((written) => {
      const work = async () => {
        await this.scheduler.step('write before death');
        this.version += 1;
        this.floor = this.version;
        written();
        return new Promise<never>(() => {});
      };
      // Ends with the namespace's deadline, which nobody waits for.
      through.update('k', work).catch(() => {});
    });
  }

  /** A read that, if strict, must not be older than what was acknowledged when it began. */
  async read(from: CacheNamespace<number>): Promise<void> {
    await this.scheduler.step('read begins');
    const { floor } = this;
    const version = this.versionOf((await from.get('k')) as number);
    if (this.setup.options?.coherence === 'strict') expect(version).toBeGreaterThanOrEqual(floor);
  }

  /** When all is over: nobody holds or returns anything older than the floor. */
  async judge(namespaces: readonly CacheNamespace<number>[]): Promise<void> {
    await this.scheduler.drain();
    for (const store of Object.values(this.stores)) {
      for (const { bytes } of store.entries.values()) {
        const frame = decodeFrame(bytes);
        if (frame?.kind !== FrameKind.Value) continue;
        const version = this.versionOf(JSON.parse(frame.body.toString()));
        expect(version, 'in a tier').toBeGreaterThanOrEqual(this.floor);
      }
    }
    for (const namespace of namespaces) {
      const peeked = namespace.peek('k');
      if (peeked !== undefined) {
        expect(this.versionOf(peeked), 'in L1').toBeGreaterThanOrEqual(this.floor);
      }
      const last = namespace.get('k');
      await this.scheduler.run(last);
      const version = this.versionOf((await last) as number);
      expect(version, 'read at the end').toBeGreaterThanOrEqual(this.floor);
    }
  }

  async close(): Promise<void> {
    for (const cache of this.caches) await cache.close();
  }
}

export type Namespaces = readonly [one: CacheNamespace<number>, two: CacheNamespace<number>];

/** What happens one after the other at first, and then all at once. */
export interface Actors {
  readonly before?: (world: World, ...namespaces: Namespaces) => Promise<void>;
  readonly at: (world: World, ...namespaces: Namespaces) => Promise<void>[];
}

export function scenario(setup: Setup, actors: Actors): Scenario {
  return async (scheduler) => {
    const world = new World(scheduler, setup);
    const namespaces = [world.process('P'), world.process('Q')] as const;
    if (actors.before !== undefined) await scheduler.run(actors.before(world, ...namespaces));
    await scheduler.drain();
    await scheduler.run(Promise.all(actors.at(world, ...namespaces)));
    await world.judge(namespaces);
    await world.close();
  };
}
