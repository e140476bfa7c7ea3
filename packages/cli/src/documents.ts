/**
 * The documents of `--json`, by their `kind`. Verbs are held to these types by the compiler, and the published schema
 * (`schema/documents.json`) is made from them: members are added, never renamed or removed, within a major version.
 */

import type {
  BootstrapStep,
  DistributionAnalysis,
  StatementExplanation,
} from '@shardline/shard-router';
import type {
  Finding,
  MoveStatus,
  PlannedStep,
  RebalancePlan,
  RebalanceStatus,
  RepairAction,
  RouterStatus,
  ShardStatus,
  VerifyReport,
} from '@shardline/shard-router/rebalance';
import type { Fleet } from './capacity/fleet.js';
import type { Load } from './capacity/load.js';
import type { ErrorDocument } from './output/describe-error.js';

interface Moves {
  readonly moves: readonly MoveStatus[];
}

/** What stands in each kind of document beside `kind`, `next` and `exitCode`. */
export interface Documents {
  /** `at` where it is one of several: a line of `--watch`. */
  readonly status: RebalanceStatus & { readonly at?: Date };
  readonly wait: Moves & { readonly outcome: WaitOutcome };
  /** A line of any long verb with `--ndjson`. */
  readonly progress: { readonly at: Date; readonly move: MoveStatus };
  readonly plan: {
    readonly plan: RebalancePlan;
    /** Where it was written; null if it was not. */
    readonly file: string | null;
    readonly steps: readonly PlannedStep[];
    /** Commands for what else is wanted. */
    readonly later: readonly string[];
  };
  readonly apply: {
    readonly outcome: 'done' | 'switched' | 'incomplete' | 'nothing-to-do' | 'stale' | 'blocked';
    readonly planId?: string | undefined;
    readonly epoch?: number;
    readonly moves?: readonly MoveStatus[];
    /** Of a plan that is blocked. */
    readonly findings?: readonly Finding[];
    /** Of a plan that is stale: the epoch for which it was made. */
    readonly planEpoch?: number;
  };
  readonly rollback: Moves;
  readonly abort: Moves;
  readonly finish: Moves;
  readonly pause: Moves;
  readonly continue: Moves;
  readonly hold: Moves;
  readonly release: Moves;
  readonly throttle: Moves;
  readonly 'dry-run': DryRun;
  readonly doctor: {
    readonly provider: string;
    /** The configuration that was read. */
    readonly config: string;
    readonly isReady: boolean;
    readonly findings: readonly Finding[];
  };
  readonly verify: VerifyReport;
  readonly repair: { readonly actions: readonly RepairAction[]; readonly isApplied: boolean };
  readonly shards: {
    readonly epoch: number;
    readonly shards: readonly ShardStatus[];
    /** In the configuration, and not on the map yet. */
    readonly notOnMap: readonly string[];
  };
  readonly distribution: DistributionAnalysis & {
    readonly keyspace: string;
    /** The file that the chart was drawn into. */
    readonly svg: string | null;
  };
  readonly capacity: {
    readonly fleets: readonly { readonly load: Load; readonly fleet: Fleet }[];
    readonly assumptions: readonly string[];
  };
  readonly locate: {
    readonly keyspace: string;
    readonly epoch: number;
    readonly keys: readonly LocatedKey[];
  };
  readonly explain: StatementExplanation;
  readonly exec: Executed;
  /** A line of `exec --ndjson`. */
  readonly row: { readonly row: Readonly<Record<string, unknown>> };
  readonly routers: { readonly routers: readonly RouterStatus[] };
  readonly init: {
    readonly command: 'init';
    readonly file?: string;
    readonly steps?: readonly BootstrapStep[];
  };
  readonly config: {
    readonly file: string;
    readonly settings: readonly ShownSetting[];
    readonly shards: readonly ShownShard[];
    /** As the configuration has them. */
    readonly keyspaces: Readonly<Record<string, object>>;
  };
  readonly completion: { readonly shell: 'bash' | 'zsh' | 'fish'; readonly script: string };
}

/** Names of documents. */
export type DocumentKind = keyof Documents;

/** A line of `--ndjson` that is written while a verb is at work. */
export type DocumentEvent = {
  readonly [Kind in 'status' | 'progress' | 'row']: { readonly kind: Kind } & Documents[Kind];
}['status' | 'progress' | 'row'];

/** Why a wait ended. */
export type WaitOutcome = 'enough' | 'timeout' | 'interrupted';

/** What would be done, said or written. */
export interface DryRun {
  /** The verb without `--dry-run`. */
  readonly command: string;
  readonly steps?: readonly (PlannedStep | BootstrapStep)[];
  readonly planId?: string;
  readonly moves?: readonly MoveStatus[];
  /** Of a verb that steers: what a move would be told. */
  readonly steering?: Readonly<Record<string, boolean | number | null | undefined>>;
  /** Of `exec`. */
  readonly sql?: string;
  readonly shards?: readonly string[];
  readonly explanation?: StatementExplanation;
  /** Of `init`: the file, and what would be in it. */
  readonly file?: string;
  readonly text?: string;
}

/** Where a key lives. */
export interface LocatedKey {
  readonly key: string;
  readonly slot: number;
  readonly shard: string;
  /** Since when the shard has had the slot. */
  readonly epoch: number;
}

/** By key, merged from all shards, or shard by shard with `--everywhere`. */
export interface Executed {
  readonly shard?: string | null;
  readonly slot?: number;
  readonly command?: string;
  readonly rowCount?: number | null;
  /** Whether there are more rows than are shown. */
  readonly isCut?: boolean;
  readonly rows?: readonly Readonly<Record<string, unknown>>[];
  readonly outcomes?: readonly {
    readonly shard: string;
    readonly status: string;
    readonly rowCount: number | null;
    readonly error: ErrorDocument | null;
  }[];
}

/** A setting, and who set it. Secrets are masked. */
export interface ShownSetting {
  readonly name: string;
  readonly value: unknown;
  /** `--flag`, a variable, a path within the file, or `default`. */
  readonly origin: string;
  readonly source: 'flag' | 'variable' | 'file' | 'default';
}

/** A shard of the configuration. Secrets are masked. */
export interface ShownShard {
  readonly name: string;
  readonly services: string;
  readonly replicas: readonly string[];
  readonly administration: string;
  readonly peerAddress: string | null;
  readonly weight: number | null;
}
