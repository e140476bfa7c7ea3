/**
 * Numbered migrations of a Shardline schema: append-only, each applied once, all in one transaction under an
 * advisory lock, so that many processes that start together migrate once.
 */

import { quoteQualified, ShardlineError } from '@shardline/core';
import { routerErrors } from './errors.js';
import type { Queryable } from './shard/queryable.js';

/** A step of a schema. */
export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

/** The steps of one schema and where their application is recorded. */
export interface MigrationSet {
  /** For messages: `catalog`, `shard`. */
  readonly subject: string;
  /** Table within schema `shardline`. */
  readonly table: string;
  readonly migrations: readonly Migration[];
}

/** Any constant that other software is unlikely to lock on: 'shardlin' in ASCII. */
const LOCK_KEY = '8316291829483629934';

/**
 * Brings the schema up to date. The client must be a single connection.
 *
 * @returns the versions that were applied now.
 * @throws ShardlineError `CATALOG_TOO_NEW` if it was migrated by a newer package.
 */
export async function migrate(client: Queryable, set: MigrationSet): Promise<number[]> {
  await client.query('BEGIN');
  try {
    await client.query(`SELECT pg_catalog.pg_advisory_xact_lock(${LOCK_KEY})`);
    const table = quoteQualified('shardline', set.table);
    await client.query('CREATE SCHEMA IF NOT EXISTS shardline');
    await client.query(
      `CREATE TABLE IF NOT EXISTS ${table} (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`,
    );
    const current = await currentVersion(client, set);
    const pending = set.migrations.filter(({ version }) => version > current);
    for (const { version, name, sql } of pending) {
      await client.query(sql);
      await client.query(`INSERT INTO ${table} (version, name) VALUES ($1, $2)`, [version, name]);
    }
    await client.query('COMMIT');
    return pending.map(({ version }) => version);
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {
      // The connection is gone, and the transaction with it; the first error says why.
    });
    throw error;
  }
}

/**
 * Checks that the schema is there and of this package's version.
 *
 * @throws ShardlineError `CATALOG_MISSING`, `CATALOG_TOO_NEW`.
 */
export async function checkMigrated(client: Queryable, set: MigrationSet): Promise<void> {
  const latest = latestVersion(set);
  const version = await versionIfAny(client, set);
  if (version < latest) {
    throw new ShardlineError(
      routerErrors.CATALOG_MISSING,
      version === 0
        ? `There is no ${set.subject} schema in this database.`
        : `The ${set.subject} schema is of version ${version}; this package needs ${latest}.`,
      { details: { subject: set.subject, version, latest } },
    );
  }
}

/** Steps that `migrate` would apply now; nothing is changed. */
export async function pendingMigrations(
  client: Queryable,
  set: MigrationSet,
): Promise<readonly Migration[]> {
  const version = await versionIfAny(client, set);
  return set.migrations.filter((migration) => migration.version > version);
}

/** Zero where there is no schema yet. */
async function versionIfAny(client: Queryable, set: MigrationSet): Promise<number> {
  const { rows } = await client.query<{ present: boolean }>(
    'SELECT pg_catalog.to_regclass($1) IS NOT NULL AS present',
    [quoteQualified('shardline', set.table)],
  );
  return rows[0]?.present === true ? currentVersion(client, set) : 0;
}

async function currentVersion(client: Queryable, set: MigrationSet): Promise<number> {
  const { rows } = await client.query<{ version: number | null }>(
    `SELECT max(version) AS version FROM ${quoteQualified('shardline', set.table)}`,
  );
  const version = rows[0]?.version ?? 0;
  const latest = latestVersion(set);
  if (version > latest) {
    throw new ShardlineError(
      routerErrors.CATALOG_TOO_NEW,
      `The ${set.subject} schema is of version ${version}; this package knows ${latest}.`,
      { details: { subject: set.subject, version, latest } },
    );
  }
  return version;
}

function latestVersion(set: MigrationSet): number {
  return set.migrations.at(-1)?.version ?? 0;
}
