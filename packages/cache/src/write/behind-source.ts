import { withDeadline } from '@shardline/core';
import type { NamespaceRuntime } from '../runtime.js';
import type { BufferedWrite } from './behind-buffer.js';
import type { StoreMany } from './behind-policy.js';

/** The source as write-behind sees it: a batch goes in, what was not taken comes out. */
export class BehindSource {
  constructor(
    private readonly runtime: NamespaceRuntime,
    private readonly storeMany: StoreMany<unknown> | undefined,
  ) {}

  /** Hands a batch to the source. What it did not take, each with its error. */
  async store(batch: readonly BufferedWrite[]): Promise<Map<BufferedWrite, unknown>> {
    const { storeMany } = this;
    const failed = new Map<BufferedWrite, unknown>();
    if (storeMany !== undefined) {
      const entries = batch.map(({ key, value }) => ({ key, value }));
      const error = await this.#call((signal) => storeMany(entries, { signal }));
      if (error !== undefined) for (const write of batch) failed.set(write, error.error);
      return failed;
    }
    const { store } = this.runtime.policy;
    await Promise.all(
      batch.map(async (write) => {
        const error = await this.#call((signal) => store?.(write.key, write.value, { signal }));
        if (error !== undefined) failed.set(write, error.error);
      }),
    );
    return failed;
  }

  /** Calls the source; one that ran out of time is given as long again to come to its end. */
  async #call(
    work: (signal: AbortSignal) => Promise<void> | void,
  ): Promise<{ readonly error: unknown } | undefined> {
    const { policy, clock, name } = this.runtime;
    const timeoutMs = policy.loadTimeoutMs;
    let ending: Promise<void> = Promise.resolve();
    try {
      await withDeadline({ timeoutMs, clock, doing: `Writing '${name}' behind` }, (signal) => {
        ending = (async () => work(signal))();
        return ending;
      });
      return undefined;
    } catch (error) {
      const over = ending.catch(() => {});
      await withDeadline({ timeoutMs, clock, doing: 'Waiting for it to stop' }, () => over).catch(
        () => {},
      );
      return { error };
    }
  }
}
