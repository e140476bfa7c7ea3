import { AsyncLocalStorage } from 'node:async_hooks';
import { type Clock, withDeadline } from '@shardline/core';
import { layerError } from '../errors.js';

/**
 * Who is at work in a layer, so that closing can wait for them.
 *
 * Open: everybody is admitted and counted. Draining: nobody new; but what belongs to a piece of work that was
 * admitted before (a statement of a transaction, a call in a session's run) is part of it and goes on.
 */
const STORAGE = Symbol.for('shardline.layer.admitted');

type Shared = typeof globalThis & { [STORAGE]?: AsyncLocalStorage<ReadonlySet<object>> };

function storage(): AsyncLocalStorage<ReadonlySet<object>> {
  const shared = globalThis as Shared;
  shared[STORAGE] ??= new AsyncLocalStorage<ReadonlySet<object>>();
  return shared[STORAGE];
}

const admitted = storage();

export class Admission {
  readonly #clock: Clock;
  #inside = 0;
  #isDraining = false;
  #onIdle: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Pieces of work under way. */
  get inside(): number {
    return this.#inside;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** @throws ShardlineError `LAYER_DRAINING`. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    this.#enter();
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  /** Runs work of many calls, all of which are let through until it has ended. */
  async runWhole<T>(work: () => Promise<T>): Promise<T> {
    const outer = admitted.getStore();
    return this.run(() => admitted.run(new Set([...(outer ?? []), this]), work));
  }

  /** Admits nobody new and waits until nobody is inside. @returns how many were left at the deadline. */
  async drain(timeoutMs: number): Promise<number> {
    this.#isDraining = true;
    if (this.#inside === 0) return 0;
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    const doing = 'Waiting for calls under way';
    await withDeadline({ timeoutMs, doing, clock: this.#clock }, () => idle).catch(() => {
      // They are cut off with their connections.
    });
    return this.#inside;
  }

  #enter(): void {
    if (this.#isDraining && admitted.getStore()?.has(this) !== true) {
      throw layerError('LAYER_DRAINING', 'A call came while the data layer was being closed.');
    }
    this.#inside += 1;
  }

  #leave(): void {
    this.#inside -= 1;
    if (this.#inside === 0) this.#onIdle?.();
  }
}
