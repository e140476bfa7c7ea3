/** A move as the catalog knows it, and how a row of its table is read (pure). */

import type { KeyspaceDefinition } from '../keyspace.js';
import type { MoveJournal } from './journal.js';
import type { MoveState } from './move-state.js';
import type { MoveProgress, MoveSteering } from './status.js';

/** What operators may ask of a move beside steering it. */
export type MoveWish = 'abort' | 'roll-back' | 'finish';

/** A move as the catalog knows it. */
export interface MoveRow {
  readonly id: string;
  readonly plan: string;
  readonly position: number;
  readonly keyspace: KeyspaceDefinition['name'];
  readonly slots: readonly number[];
  readonly journal: MoveJournal;
  readonly holderName: string;
  readonly leaseLeftMs: number;
  /** Revision that routers must have acknowledged before what follows the newest hold, switch or release. */
  readonly revision: number;
  readonly isInTransit: boolean;
  readonly steering: MoveSteering;
  readonly wish: MoveWish | undefined;
  readonly progress: MoveProgress | undefined;
  readonly waitingFor: string | undefined;
  readonly lastError: string | undefined;
  readonly pauseMs: number | undefined;
  readonly verifiedAtMs: number | undefined;
  readonly rollbackUntilMs: number | undefined;
  /** By the database's clock; negative once it is over. */
  readonly rollbackLeftMs: number | undefined;
  readonly startedAtMs: number;
  readonly stateSinceMs: number;
  /** Whether nothing of it is left on the shards. */
  readonly isTidied: boolean;
}

/** What `load-moves.sql` answers. */
export interface RawMove {
  readonly [column: string]: unknown;
}

/** Reads an answer of `load-moves.sql`. */
export function toMoveRow(raw: RawMove): MoveRow {
  const optional = <T>(value: unknown) => (value === null ? undefined : (value as T));
  return {
    id: raw['id'] as string,
    plan: raw['plan'] as string,
    position: raw['position'] as number,
    keyspace: raw['keyspace'] as string,
    slots: raw['slots'] as number[],
    journal: {
      source: raw['source'] as string,
      destination: raw['destination'] as string,
      state: raw['state'] as MoveState,
      generation: raw['generation'] as number,
      holder: raw['holder'] as string,
      epoch: raw['epoch'] as number,
    },
    holderName: raw['holderName'] as string,
    leaseLeftMs: raw['leaseLeftMs'] as number,
    revision: raw['revision'] as number,
    isInTransit: raw['isInTransit'] as boolean,
    steering: {
      isPaused: raw['isPaused'] as boolean,
      isCutOverHeld: raw['isCutOverHeld'] as boolean,
      bytesPerSecond: optional<number>(raw['bytesPerSecond']),
    },
    wish: optional<MoveWish>(raw['wish']),
    progress: optional<MoveProgress>(raw['progress']),
    waitingFor: optional<string>(raw['waitingFor']),
    lastError: optional<string>(raw['lastError']),
    pauseMs: optional<number>(raw['pauseMs']),
    verifiedAtMs: optional<number>(raw['verifiedAtMs']),
    rollbackUntilMs: optional<number>(raw['rollbackUntilMs']),
    rollbackLeftMs: optional<number>(raw['rollbackLeftMs']),
    startedAtMs: raw['startedAtMs'] as number,
    stateSinceMs: raw['stateSinceMs'] as number,
    isTidied: raw['isTidied'] as boolean,
  };
}
