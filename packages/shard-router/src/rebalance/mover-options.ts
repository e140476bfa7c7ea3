import type { Clock } from '@shardline/core';
import type { Topology } from '../topology/topology.js';
import type { JournalStore } from './journal-store.js';
import type { MoveContext } from './move-context.js';
import type { MoveRow } from './move-row.js';
import type { FilledMoveLimits } from './rebalancer-options.js';
import type { ShardLink } from './shard-link.js';

/** What a mover is given. */
export interface MoverOptions {
  readonly store: JournalStore;
  readonly catalog: ShardLink;
  readonly source: ShardLink;
  readonly destination: ShardLink;
  readonly peers: { readonly source: string; readonly destination: string };
  readonly context: MoveContext;
  readonly limits: FilledMoveLimits;
  readonly clock: Clock;
  readonly loadTopology: () => Promise<Topology>;
  readonly referenceTables: readonly { readonly schema: string; readonly name: string }[];
  readonly signal: AbortSignal;
  /** Whether to stay until the rollback window has ended. */
  readonly leaveOpen: boolean;
  readonly onProgress?: ((row: MoveRow) => void) | undefined;
  /** For tests: called before and after each change of the journal and each effect. If it throws, the mover is dead. */
  readonly failpoint?: ((at: string) => void | Promise<void>) | undefined;
}
