import type { DistributionAnalysis } from '../placement/analyze.js';
import type { MoveWay } from './describe-move.js';
import type { Finding } from './finding.js';
import type { PlacementChange } from './placement-change.js';
import type { RebalancePlan } from './plan.js';
import type { MoveStatus, MoveSteering, RebalanceStatus, RouterStatus } from './status.js';

/** What every long call takes. */
export interface WorkOptions {
  /** Ends the work at the next safe point; what was begun can be resumed. */
  readonly signal?: AbortSignal | undefined;
  /** Told of every change of state and about once a second in between. */
  readonly onProgress?: ((move: MoveStatus) => void) | undefined;
}

/** How a plan is carried out. */
export interface ApplyOptions extends WorkOptions {
  /** Copies and keeps up, and waits before the switch for a `release`. @default false */
  readonly holdCutOver?: boolean;
  /** Returns when every move has switched, and leaves the rollback window to a later `finish`. @default false */
  readonly leaveOpen?: boolean;
}

/** What became of the moves of a plan or of a call. */
export interface RebalanceReport {
  readonly planId: string | undefined;
  readonly moves: readonly MoveStatus[];
  readonly epoch: number;
}

/** Whether a plan may be applied, and if not, why. */
export type PlanCheck =
  | { readonly outcome: 'applicable'; readonly findings: readonly Finding[] }
  | { readonly outcome: 'blocked'; readonly findings: readonly Finding[] }
  | { readonly outcome: 'stale'; readonly planEpoch: number; readonly epoch: number }
  | { readonly outcome: 'nothing-to-do' };

/** A step that `apply`, `abort`, `rollback` or `repair` would take: in stable order, for a dry run. */
export interface PlannedStep {
  readonly move: string;
  readonly state: string;
  /** `catalog` or a shard. */
  readonly on: string;
  readonly description: string;
  /** Statements that would run; passwords left out. */
  readonly sql: readonly string[];
  /** What it locks or holds back, and for how long at most; undefined for nothing. */
  readonly locks: string | undefined;
  /** Whether it can be undone after it. */
  readonly isReversible: boolean;
}

/** What comparing the rows of a move found. */
export interface VerifyReport {
  readonly moveId: string | undefined;
  readonly slotsCompared: number;
  readonly rowsCompared: number;
  /** Keys whose rows differ after a second look, at most a hundred. */
  readonly differences: readonly {
    readonly table: string;
    readonly slot: number;
    readonly key: string;
    readonly on: 'source' | 'destination' | 'both';
  }[];
  /** Rows that a shard holds and does not own, outside of any move. */
  readonly foreignRows: readonly {
    readonly shard: string;
    readonly table: string;
    readonly slot: number;
    readonly rows: number;
  }[];
  readonly isComplete: boolean;
}

/** One object that `repair` found out of place, and what it does about it. */
export interface RepairAction {
  readonly on: string;
  readonly kind:
    | 'replication slot'
    | 'publication'
    | 'subscription'
    | 'fence'
    | 'role'
    | 'replica identity'
    | 'ownership record'
    | 'foreign rows'
    | 'hold'
    | 'journal';
  readonly object: string;
  readonly problem: string;
  readonly action: string;
  readonly sql: readonly string[];
  readonly isDone: boolean;
}

/** Moves slots between shards while everything goes on. Made by `openRebalancer`. */
export interface Rebalancer extends AsyncDisposable {
  /** Computes what a change of the placement moves, with bytes; changes nothing. */
  plan(change: PlacementChange): Promise<RebalancePlan>;
  /** Whether a plan is sealed, of this epoch, and free of blockers: everything at once. */
  check(plan: RebalancePlan): Promise<PlanCheck>;
  /** What applying would do, step by step, in stable order. */
  describe(plan: RebalancePlan): Promise<readonly PlannedStep[]>;
  /** What would still happen to a move that takes a way to its end; empty if it cannot any more. */
  describeMove(move: string, way: MoveWay): Promise<readonly PlannedStep[]>;
  /** Carries a plan out. A second call with the same plan takes up where the first one ended. */
  apply(plan: RebalancePlan, options?: ApplyOptions): Promise<RebalanceReport>;
  /** Takes up what is not over, of all moves or of one, whoever began it. */
  resume(options?: ApplyOptions & { readonly move?: string }): Promise<RebalanceReport>;
  status(): Promise<RebalanceStatus>;
  /** One move, or undefined. `last` is the newest. */
  move(id: string): Promise<MoveStatus | undefined>;
  /** Says what a running move shall do; whoever runs it obeys within a second. */
  steer(move: string, steering: Partial<MoveSteering>): Promise<MoveStatus>;
  /** Gives a move up before its switch; nothing of it is left. */
  abort(move: string, options?: WorkOptions): Promise<MoveStatus>;
  /**
   * Brings the slots back after the switch, with everything written since.
   *
   * @throws ShardlineError `MOVE_STATE` where no switch can be undone; `MOVE_ROLLBACK_LOST` if the slot that carries back
   * what was written since is gone: then nothing happens, and the move can only be finished.
   */
  rollback(move: string, options?: WorkOptions): Promise<MoveStatus>;
  /** Ends the rollback window now and cleans the source. */
  finish(move: string, options?: WorkOptions): Promise<MoveStatus>;
  /** Compares rows of a running move, or looks for rows that no shard should hold. Resumable. */
  verify(options?: WorkOptions & { readonly move?: string }): Promise<VerifyReport>;
  /** What the servers hold against what the journal says. @param apply mends it; else only told. */
  repair(options?: { readonly apply?: boolean } & WorkOptions): Promise<readonly RepairAction[]>;
  /** Everything that would keep a move from working, on catalog and shards. */
  doctor(options?: { readonly provider?: string }): Promise<readonly Finding[]>;
  routers(): Promise<readonly RouterStatus[]>;
  /** Rows, bytes and heat by slot and shard, measured on the servers. */
  distribution(keyspace: string): Promise<DistributionAnalysis>;
  /** Gives a shard that is new in the configuration its schema, guards and reference tables. Safe to repeat. */
  prepareShard(shard: string, options?: WorkOptions): Promise<void>;
  close(): Promise<void>;
}
