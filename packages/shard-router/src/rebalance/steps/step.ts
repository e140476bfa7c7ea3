/**
 * What a step of a move is: one object per effect, which says what must hold before it, does it, names what undoes it,
 * and tells a dry run what it would do. Which step is due, `next-step.ts` decides alone.
 */

import type { MoveRole } from '../move-state.js';
import type { MoveWork } from '../move-work.js';
import type { StoredRecord } from '../record-store.js';
import type { ShardEffect } from '../shard-record.js';

/** What a dry run knows: no session is open, nothing has been asked of any server. */
export interface StepPreview {
  readonly move: string;
  readonly keyspace: string;
  /** Names of the moved tables, quoted. */
  readonly tables: readonly string[];
  readonly source: string;
  readonly destination: string;
  readonly lockTimeoutMs: number;
}

/** What a step would do, for people. */
export interface StepDescription {
  readonly description: string;
  readonly sql: readonly string[];
  readonly locks: string | undefined;
}

/** An effect on one shard of a move. */
export interface Step<Effect extends ShardEffect = ShardEffect> {
  readonly kind: Effect['kind'];
  /** What must hold, in words; the shard's reducer refuses the step if it does not. */
  readonly precondition: string;
  /**
   * Brings the effect about. Safe to repeat.
   *
   * @param known the shard's record, as the session that holds the move's lock has read or left it.
   * @returns the shard's record after it.
   */
  run(work: MoveWork, on: MoveRole, effect: Effect, known: StoredRecord): Promise<StoredRecord>;
  /** The effect that takes it back; undefined where only the next switch does. */
  readonly undo: ShardEffect['kind'] | undefined;
  describe(preview: StepPreview, on: MoveRole): StepDescription;
}
