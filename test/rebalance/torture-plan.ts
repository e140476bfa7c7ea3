/** What the processes of a torture run agree upon. */

import type { RouterOptions } from '@shardline/shard-router';
import type { PlacementChange, RebalancerOptions } from '@shardline/shard-router/rebalance';

/** Keys that are there before the run, are updated all the time and never deleted. */
export const POPULATION = 240;

export const SLOTS = 16;

/**
 * A register with a version that every write raises, a ledger without any unique index that every write adds to, and
 * rows that are truly deleted. No key of the ledger: its replica identity is the whole row.
 */
export const TABLES = `
  CREATE TABLE register (key bigint PRIMARY KEY, version int NOT NULL, value text NOT NULL, gone boolean NOT NULL DEFAULT false);
  CREATE TABLE ledger (op text NOT NULL, key bigint NOT NULL);
  CREATE TABLE scrap (key bigint NOT NULL, value text NOT NULL, PRIMARY KEY (key, value));
`;

/** $1 key  $2 value  $3 operation  $4 whether it is gone: a version and a ledger row, both or neither. */
export const UPDATE = `
  WITH changed AS (
    UPDATE register SET version = version + 1, value = $2, gone = $4 WHERE key = $1 RETURNING version
  ), logged AS (INSERT INTO ledger (op, key) SELECT $3, $1::bigint FROM changed)
  SELECT version FROM changed`;

/** $1 key  $2 value  $3 operation */
export const INSERT = `
  WITH made AS (
    INSERT INTO register (key, version, value) VALUES ($1, 1, $2) RETURNING version
  ), logged AS (INSERT INTO ledger (op, key) SELECT $3, $1::bigint FROM made)
  SELECT version FROM made`;

/** A service: a router with callers. */
export interface WorkerPlan {
  readonly options: RouterOptions;
  readonly name: string;
  readonly historyPath: string;
  readonly seed: number;
  readonly callers: number;
  /** First of the keys that it makes itself. */
  readonly firstKey: number;
}

/** A mover: ends what is under way, then brings the change about. */
export interface MoverPlan {
  readonly options: RebalancerOptions;
  readonly name: string;
  readonly historyPath: string;
  readonly change: PlacementChange;
}

/** Ends the process with the run, however that ends. Keeps nothing alive by itself. */
export function endWithParent(): void {
  process.stdin.once('end', () => process.exit(1));
  process.stdin.resume();
  (process.stdin as unknown as { unref(): void }).unref();
}

/** The value that a key has before the run. */
export function firstValue(key: number | string): string {
  return `first-${key}`;
}
