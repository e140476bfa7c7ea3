/** What an operator wants of the placement, before anybody has computed what moves. */
export type PlacementChange =
  /** A new shard takes its share of every keyspace. */
  | { readonly kind: 'add'; readonly shard: string; readonly weight?: number }
  /** A shard gives all its slots away and is taken off the map at the end. */
  | { readonly kind: 'remove'; readonly shard: string }
  /** A shard gives all its slots away and stays, with weight 0. */
  | { readonly kind: 'drain'; readonly shard: string }
  /** Shards get other shares. */
  | { readonly kind: 'reweight'; readonly weights: Readonly<Record<string, number>> }
  /** Named slots go to a named shard; weights stay as they are. */
  | {
      readonly kind: 'move-slots';
      readonly keyspace: string;
      readonly slots: readonly number[];
      readonly destination: string;
    }
  /** The slots of a shard that carry most go to other shards, until it carries its fair share. */
  | {
      readonly kind: 'split';
      readonly keyspace: string;
      readonly shard: string;
      readonly by: 'rows' | 'bytes' | 'heat';
      /** Who may receive. @default every other shard with a weight above zero */
      readonly destinations?: readonly string[];
    };
