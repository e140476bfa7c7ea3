import type { MoveState } from './move-state.js';

/** What an operator has asked of a move while it runs. Kept in the journal, so that whoever runs the move obeys. */
export interface MoveSteering {
  /** The mover does nothing more until it is lifted. Never in force between fence and commit. */
  readonly isPaused: boolean;
  /** The copy is done and kept up, and the switch waits for a `release`. */
  readonly isCutOverHeld: boolean;
  /**
   * Rate of the copy, in bytes per second, above which it is held back; undefined for as fast as the limits of the
   * throttle allow. It is coarse: measured over about a second, and the stream is switched off and on. The COPY of a
   * table that has begun runs to its end at full speed; what waits is the tables that have not begun, and the changes.
   */
  readonly bytesPerSecond: number | undefined;
}

/** How far the copying is; estimates are marked, and never say more than all. */
export interface MoveProgress {
  readonly copiedBytes: number;
  readonly totalBytes: number;
  readonly copiedRows: number;
  readonly totalRows: number;
  /** Whether the totals are estimates from statistics. */
  readonly isEstimated: boolean;
  /** Undefined before one percent is done and when nothing is being copied. */
  readonly secondsLeft: number | undefined;
  /** How far the destination is behind the source, in bytes of WAL; undefined before the stream runs. */
  readonly lagBytes: number | undefined;
}

/** One move as `status` shows it. */
export interface MoveStatus {
  readonly id: string;
  readonly planId: string;
  readonly keyspace: string;
  readonly source: string;
  readonly destination: string;
  readonly slots: readonly number[];
  readonly state: MoveState;
  /** Whether `abort` is possible. */
  readonly mayAbort: boolean;
  /** Until when `rollback` is possible, in milliseconds since 1970; undefined when it is not. */
  readonly rollbackUntilMs: number | undefined;
  readonly generation: number;
  /** Who runs it, by the name he gave; undefined when nobody does. */
  readonly holder: string | undefined;
  /** For how long the holder's lease still runs; undefined without one. */
  readonly holderLeaseLeftMs: number | undefined;
  readonly steering: MoveSteering;
  readonly progress: MoveProgress;
  /** What it waits for at the moment and why, in a sentence; undefined when it does not. */
  readonly waitingFor: string | undefined;
  /** How long callers were held back at the switch; undefined before it. */
  readonly pauseMs: number | undefined;
  /** When the rows of both sides were last found equal, in milliseconds since 1970. */
  readonly verifiedAtMs: number | undefined;
  /** Of the replication slot that the move keeps. */
  readonly slotBytes: number | undefined;
  readonly lastError: string | undefined;
  readonly startedAtMs: number;
  /** When the state was entered. */
  readonly stateSinceMs: number;
}

/** A router as the catalog sees it. */
export interface RouterStatus {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly acknowledgedRevision: number;
  readonly isCurrent: boolean;
  readonly leaseLeftMs: number;
  readonly seenMsAgo: number;
}

/** A shard with its standing record, as `status` shows it. */
export interface ShardStatus {
  readonly name: string;
  readonly weight: number;
  /** Slots by the catalog, by keyspace. */
  readonly slots: Readonly<Record<string, number>>;
  /** Whether the shard's own record says the same as the catalog; undefined if it could not be asked. */
  readonly isRecordCurrent: boolean | undefined;
  /** Tables under guard; undefined if it could not be asked. */
  readonly guardedTables: readonly string[] | undefined;
  readonly error: string | undefined;
}

/** Everything at one glance. */
export interface RebalanceStatus {
  readonly epoch: number;
  readonly revision: number;
  readonly shards: readonly ShardStatus[];
  readonly routers: readonly RouterStatus[];
  /** Moves that are not over, oldest first. */
  readonly active: readonly MoveStatus[];
  /** The newest moves that are over, newest first. */
  readonly recent: readonly MoveStatus[];
}
