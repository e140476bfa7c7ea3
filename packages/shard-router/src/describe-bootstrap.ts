/**
 * What `bootstrap` would do, without doing any of it: for a dry run.
 */

import { quoteQualified } from '@shardline/core';
import { onConnection } from './bootstrap.js';
import { type Migration, pendingMigrations } from './migrations.js';
import {
  type FilledRouterOptions,
  fillRouterOptions,
  type RouterOptions,
} from './router-options.js';
import type { Queryable } from './shard/queryable.js';
import { loadCatalog, pendingCatalogMigrations } from './topology/catalog.js';
import { shardMigrations } from './topology/ownership.js';

/** One thing that `bootstrap` would do. */
export interface BootstrapStep {
  /** `catalog` or a shard. */
  readonly on: string;
  readonly description: string;
  readonly sql: readonly string[];
}

/**
 * Lists what `bootstrap` would do now, in the order in which it would. Empty if everything is there.
 *
 * @throws ShardlineError `CONFIG_INVALID`, `CATALOG_TOO_NEW`; else what PostgreSQL says.
 *
 * @example
 * ```ts
 * import { describeBootstrap, type RouterOptions } from '@shardline/shard-router';
 *
 * declare const options: RouterOptions;
 * for (const { on, description } of await describeBootstrap(options)) {
 *   process.stdout.write(`${on}: ${description}\n`);
 * }
 * ```
 */
export async function describeBootstrap(options: RouterOptions): Promise<BootstrapStep[]> {
  const filled = fillRouterOptions(options);
  const steps: BootstrapStep[] = [];
  if (filled.catalog !== undefined) {
    steps.push(
      ...(await onConnection(filled.catalog, (client) => catalogSteps(client as never, filled))),
    );
  }
  for (const [name, where] of Object.entries(filled.shards)) {
    steps.push(
      ...(await onConnection(where, (client) => shardSteps(client as never, name, filled))),
    );
  }
  return steps;
}

async function catalogSteps(
  client: Queryable,
  { shards, keyspaces }: FilledRouterOptions,
): Promise<BootstrapStep[]> {
  const pending = await pendingCatalogMigrations(client);
  const steps = migrationSteps('catalog', pending);
  // Before its first migration there is nothing to read a topology from.
  const isNew = pending.some(({ version }) => version === 1);
  const state = isNew ? undefined : await loadCatalog(client);
  if (state !== undefined) return steps;
  const names = Object.keys(shards).join(', ');
  return [
    ...steps,
    ...[...keyspaces].map(([keyspace, { slots }]) => ({
      on: 'catalog',
      description: `publish the first map of keyspace '${keyspace}': ${slots} slots over ${names}`,
      sql: [],
    })),
  ];
}

async function shardSteps(
  client: Queryable,
  shard: string,
  { keyspaces }: FilledRouterOptions,
): Promise<BootstrapStep[]> {
  const pending = await pendingMigrations(client, shardMigrations);
  const steps = migrationSteps(shard, pending);
  for (const { tables } of keyspaces.values()) {
    for (const { schema, name } of tables) {
      const table = quoteQualified(schema, name);
      const { rows } = await client.query<{ present: boolean; guarded: boolean }>(
        `SELECT pg_catalog.to_regclass($1) IS NOT NULL AS present, EXISTS (
           SELECT 1 FROM pg_catalog.pg_trigger
           WHERE tgrelid = pg_catalog.to_regclass($1) AND tgname = '~shardline_guard') AS guarded`,
        [table],
      );
      const { present, guarded } = rows[0] as { present: boolean; guarded: boolean };
      if (!present || guarded) continue;
      steps.push({ on: shard, description: `put table ${table} under guard`, sql: [] });
    }
  }
  return steps;
}

function migrationSteps(on: string, pending: readonly Migration[]): BootstrapStep[] {
  return pending.map(({ version, name, sql }) => ({
    on,
    description: `migration ${version} (${name}) of schema shardline`,
    sql: [sql],
  }));
}
