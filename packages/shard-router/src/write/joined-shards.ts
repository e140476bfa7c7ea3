/** What writers do that find a shard asking for a newer topology than they know. */

import { ShardlineError, sleep, withDeadline } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { CallOptions, RouterCore } from '../router-core.js';
import type { Topology } from '../topology/topology.js';

const NEWS_PAUSE_MS = 50;

/** Whether a topology is as new as a shard wants it, by the answer of `reference-epoch.sql`. */
export function isEpochKnown(
  rows: readonly { readonly epoch: string }[],
  { epoch }: Topology,
): boolean {
  return Number(rows[0]?.epoch ?? 0) <= epoch;
}

/**
 * Waits until a newer topology is in force.
 *
 * @param call `untilMs` is on the monotonic clock.
 * @throws ShardlineError `TOPOLOGY_OUTDATED` if the catalog does not tell in time.
 */
export async function newsOfTopology(
  core: Pick<RouterCore, 'clock' | 'watcher' | 'topology'>,
  known: Topology,
  call: CallOptions & { readonly untilMs: number },
): Promise<void> {
  const { clock, watcher } = core;
  const { signal } = call;
  const doing = 'Waiting for news of a shard that has joined';
  let cause: unknown;
  while (core.topology.epoch <= known.epoch) {
    const timeoutMs = call.untilMs - clock.monotonicMs();
    if (timeoutMs <= 0) throw outdated(known, cause);
    const asking = withDeadline({ timeoutMs, signal, doing, clock }, async (stop) =>
      watcher?.refresh(stop),
    );
    await asking.catch((error: unknown) => {
      if (signal?.aborted) throw error;
      cause = error;
    });
    if (core.topology.epoch > known.epoch) return;
    await sleep(NEWS_PAUSE_MS, { signal, clock, doing });
  }
}

/** The error of a writer that does not know a shard. */
export function outdated({ epoch }: Topology, cause: unknown): ShardlineError {
  return new ShardlineError(
    routerErrors.TOPOLOGY_OUTDATED,
    `A shard has joined since epoch ${epoch}, the newest that this router knows, and the catalog did not answer in time.`,
    { cause, details: { epoch } },
  );
}
