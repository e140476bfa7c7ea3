import type { PlacementChange } from './placement-change.js';

/** One move of a plan: slots of one keyspace from one shard to another. */
export interface PlannedMove {
  readonly keyspace: string;
  readonly source: string;
  readonly destination: string;
  /** As `formatSlots` writes them: `0-511,600`. */
  readonly slots: string;
  readonly slotCount: number;
  /** Estimates from the source's statistics. */
  readonly rows: number;
  readonly bytes: number;
}

/**
 * What will be done, and nothing else: made once, reviewed by people, applied to the letter. The seal is over
 * everything else, so a plan that was edited is refused, and so is one of an older epoch.
 */
export interface RebalancePlan {
  readonly format: 1;
  readonly id: string;
  readonly createdAtMs: number;
  readonly fromEpoch: number;
  readonly change: PlacementChange;
  /** Weights at the end, by shard. */
  readonly weights: Readonly<Record<string, number>>;
  /** Shards that are taken off the map at the end. */
  readonly removeShards: readonly string[];
  /** In the order in which they are done; those with disjoint shards may run side by side. */
  readonly moves: readonly PlannedMove[];
  /** By keyspace: slots that move, and the least that could for this change. */
  readonly minimality: Readonly<
    Record<string, { readonly movedSlots: number; readonly minimumSlots: number }>
  >;
  /** By keyspace and shard: slots before and after. */
  readonly balance: Readonly<
    Record<string, Readonly<Record<string, { readonly before: number; readonly after: number }>>>
  >;
  /** SHA-256 of everything above, in a canonical form. */
  readonly seal: string;
}
