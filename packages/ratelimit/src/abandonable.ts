import { withDeadline } from '@shardline/core';

/** A caller's way to give up. */
export interface AbandonOptions {
  /** Gives up waiting, with `ABORTED`. What was sent by then may be done all the same. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Work whose caller may give up waiting. Its deadline is the store's; here is only the caller's signal.
 *
 * The work goes on after that, so it must look at `stop` after each wait and before each thing it takes:
 * what is taken for a caller who has left is taken from everybody else.
 *
 * @throws ShardlineError `ABORTED`; else whatever the work throws.
 */
export function abandonable<T>(
  signal: AbortSignal | undefined,
  doing: string,
  work: (stop: AbortSignal | undefined) => Promise<T>,
): Promise<T> {
  if (signal === undefined) return work(undefined);
  return withDeadline({ timeoutMs: Number.POSITIVE_INFINITY, signal, doing }, work);
}
