/**
 * One shard as the router holds it: its pool, and whether it has been found to be what it is taken for.
 *
 * States: *unchecked* (nobody has reached it yet), *checked* (it hashes as the router does, is of a known schema
 * version and says that it is this shard), *refused* (it answered, and is something else). Only a checked shard
 * serves. A shard that cannot be reached stays unchecked and is checked by whoever needs it next, so one dead
 * shard keeps no service from starting.
 */

import { isShardlineError, ShardlineError, SingleFlight } from '@shardline/core';
import type pg from 'pg';
import { routerErrors } from '../errors.js';
import { checkKnownAnswers } from '../hash/known-answers.js';
import { OwnershipCheck } from '../route/verify.js';
import { checkShardMigrated, readOwnership, shardMismatch } from '../topology/ownership.js';

/** A shard's pool with its state. */
export class Shard {
  readonly name: string;
  readonly pool: pg.Pool;
  readonly ownsPool: boolean;
  readonly #hasRecord: boolean;
  readonly #checks = new Map<string, OwnershipCheck>();
  readonly #checking = new SingleFlight<'check', void>();
  #isChecked = false;

  /** @param hasRecord whether shards keep ownership records: they do unless the topology is fixed. */
  constructor(options: { name: string; pool: pg.Pool; ownsPool: boolean; hasRecord: boolean }) {
    this.name = options.name;
    this.pool = options.pool;
    this.ownsPool = options.ownsPool;
    this.#hasRecord = options.hasRecord;
  }

  get isChecked(): boolean {
    return this.#isChecked;
  }

  /** What speaks to the primary, whatever the pool would choose. */
  readonly primary: { query(text: string, values?: readonly unknown[]): Promise<pg.QueryResult> } =
    {
      query: async (text: string, values: readonly unknown[] = []) =>
        this.pool.query({ text, values: [...values], target: 'primary' } as pg.QueryConfig),
    };

  /**
   * Checks the shard unless that has been done.
   *
   * @throws ShardlineError `HASH_MISMATCH`, `SHARD_MISMATCH`, `CATALOG_MISSING`, `CATALOG_TOO_NEW`.
   */
  async ensureChecked(): Promise<void> {
    if (this.#isChecked) return;
    await this.#checking.run('check', () => this.#check());
  }

  /** The ownership check of one keyspace here. */
  ownership(keyspace: string): OwnershipCheck {
    let check = this.#checks.get(keyspace);
    if (check === undefined) {
      check = new OwnershipCheck(this.primary as never, keyspace);
      this.#checks.set(keyspace, check);
    }
    return check;
  }

  /** Questions of ownership that were asked here. */
  get verifications(): number {
    let sum = 0;
    for (const { asked } of this.#checks.values()) sum += asked;
    return sum;
  }

  async #check(): Promise<void> {
    await checkKnownAnswers(this.name, this.primary as never);
    if (this.#hasRecord) {
      await this.#checkRecord();
    }
    this.#isChecked = true;
  }

  async #checkRecord(): Promise<void> {
    try {
      await checkShardMigrated(this.primary as never);
    } catch (error) {
      if (!isShardlineError(error)) throw error;
      throw new ShardlineError(
        { ...routerErrors.SHARD_MISMATCH, code: error.code },
        `Shard '${this.name}' is not ready: ${error.message}`,
        { cause: error, remedy: 'Install the shard with `bootstrap` or `installShard`.' },
      );
    }
    const [record] = await readOwnership(this.primary as never);
    if (record !== undefined && record.shard !== this.name) {
      throw shardMismatch(this.name, record.shard);
    }
  }
}
