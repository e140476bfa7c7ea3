import type { Clock } from '@shardline/core';
import type { InvalidationTask } from '../invalidate/invalidator.js';
import { PurgeQueue } from './purge-queue.js';
import type { EdgePurger } from './purger.js';
import { targetOfKey, targetOfStamp } from './surrogate-keys.js';

/** Other processes have heard by then, and answered what they were asked before. */
const MARGIN_MS = 250;

/** Every edge before a cache. */
export class Edge {
  readonly queues: readonly PurgeQueue[];
  readonly #prefix: string;

  constructor(
    purgers: readonly EdgePurger[],
    parts: {
      readonly prefix: string;
      readonly clock: Clock;
      readonly onError: (error: unknown, doing: string) => void;
    },
  ) {
    this.#prefix = parts.prefix;
    this.queues = purgers.map((purger) => new PurgeQueue(purger, parts));
  }

  /** The last step of an invalidation. */
  purge({ target, keys, stamps }: Pick<InvalidationTask, 'target' | 'keys' | 'stamps'>): void {
    if (this.queues.length === 0 || target.isStrict) return;
    const targets = [
      ...keys.map((key) => targetOfKey(this.#prefix, target.name, key)),
      ...stamps.map((name) => targetOfStamp(this.#prefix, target.name, name)),
    ];
    const { boundMs } = target;
    const repeatAfterMs = Number.isFinite(boundMs) ? boundMs + MARGIN_MS : 0;
    for (const queue of this.queues) queue.add(targets, repeatAfterMs);
  }

  async close(timeoutMs: number): Promise<void> {
    await Promise.all(this.queues.map((queue) => queue.close(timeoutMs)));
  }
}
