/**
 * Gives a new shard the tables of an old one, with all that they need.
 *
 * The old shard's catalogs are read in one snapshot and written as statements by the old shard itself
 * (`schema-statements.sql`); the new one runs, in one transaction, those whose objects it lacks. So it is there
 * whole or not at all, and may be repeated: what exists is left alone, and compared at the end.
 *
 * Nothing is dropped silently. What a table cannot do without and this cannot make (types of other kinds, functions in C,
 * inheritance) is refused, unless it is there; what it can do without (policies, rules, tablespaces) comes back as findings. Owners are not copied:
 * everything belongs to the role that makes it. What a function calls is not known to PostgreSQL, so a function
 * that such a function needs has to be there; the error names it.
 */

import { ShardlineError } from '@shardline/core';
import { findDifferences, type SchemaPart } from '../doctor/compare-schemas.js';
import schemaSql from '../doctor/schema.sql';
import { routerErrors } from '../errors.js';
import type { ShardedTable } from '../keyspace.js';
import type { Queryable } from '../shard/queryable.js';
import existingObjectsSql from './existing-objects.sql';
import type { Finding } from './finding.js';
import { FindingList } from './inspect/judge-server.js';
import type { ShardEndpoint } from './move-context.js';
import schemaStatementsSql from './schema-statements.sql';

/** A table by its name; sharded and reference tables alike. */
export type TableName = Pick<ShardedTable, 'schema' | 'name'>;

/** What was done. */
export interface SchemaCopy {
  /** Statements that were run, in order. */
  readonly statements: readonly string[];
  /** What was not copied, or is not the same afterwards. */
  readonly findings: readonly Finding[];
}

interface SchemaStatement {
  readonly phase: number;
  readonly kind: string;
  readonly identity: string;
  readonly ddl: string | null;
  readonly problem: string | null;
}

/** Without these a table is there and works as on the old shard, or nearly. */
const OPTIONAL_KINDS = new Set(['tablespace', 'policy', 'rule', 'grant', 'comment']);

/**
 * Copies the schema of tables. Safe to repeat.
 *
 * @throws ShardlineError `SCHEMA_NOT_COPIED`, with nothing changed, if tables need what cannot be copied and is not there;
 * PostgreSQL's error, with nothing changed, if a statement fails.
 */
export async function copySchema(
  from: ShardEndpoint,
  to: ShardEndpoint,
  tables: readonly TableName[],
): Promise<SchemaCopy> {
  const wanted = await readStatements(from, tables);
  const present = await readStatements(to, tables);
  const { statements, findings } = await to.withConnection(async (client) => {
    await client.query('BEGIN');
    await client.query(`SET LOCAL search_path = ''; SET LOCAL check_function_bodies = off`);
    const plan = await missingStatements(client, to.name, wanted, present);
    refuseBlockers(to.name, plan.findings);
    for (const statement of plan.statements) await client.query(statement);
    await client.query('COMMIT');
    return plan;
  });
  return { statements, findings: [...findings, ...(await differencesBetween(from, to, tables))] };
}

async function readStatements(
  endpoint: ShardEndpoint,
  tables: readonly TableName[],
): Promise<SchemaStatement[]> {
  return endpoint.withConnection(async (client) => {
    await client.query(`BEGIN READ ONLY; SET LOCAL search_path = ''`);
    const { rows } = await client.query<SchemaStatement>(schemaStatementsSql, [
      tables.map(({ schema }) => schema),
      tables.map(({ name }) => name),
    ]);
    await client.query('COMMIT');
    return rows;
  });
}

const keyOf = ({ kind, identity }: { kind: string; identity: string }) => `${kind}\0${identity}`;

async function missingStatements(
  client: Queryable,
  shard: string,
  wanted: readonly SchemaStatement[],
  present: readonly SchemaStatement[],
): Promise<{ statements: string[]; findings: Finding[] }> {
  const { rows } = await client.query<{ kind: string; identity: string }>(existingObjectsSql, [
    wanted.map(({ kind }) => kind),
    wanted.map(({ identity }) => identity),
  ]);
  const existing = new Set([...rows.map(keyOf), ...present.map(keyOf)]);
  const roles = await rolesOf(client);
  const found = new FindingList(shard);
  const statements: string[] = [];
  for (const statement of wanted) {
    const { kind, identity, ddl, problem } = statement;
    if (problem !== null) {
      if (existing.has(keyOf(statement))) continue;
      found.add(
        OPTIONAL_KINDS.has(kind) ? 'warning' : 'blocker',
        'SCHEMA_NOT_COPIED',
        identity,
        `Not copied: ${problem}.`,
        { remedy: 'Make it on this shard yourself.' },
      );
    } else if (kind === 'grant' && !isForKnownRole(identity, roles)) {
      found.add(
        'warning',
        'ROLE_MISSING',
        identity,
        `Not granted, since the role does not exist here: ${ddl}.`,
        {
          remedy: 'Make the role on this shard and repeat.',
          ...(ddl === null ? {} : { sql: ddl }),
        },
      );
    } else if (ddl !== null && (kind === 'grant' || !existing.has(keyOf(statement)))) {
      statements.push(ddl);
    }
  }
  return { statements, findings: found.findings };
}

function refuseBlockers(shard: string, findings: readonly Finding[]): void {
  const blockers = findings.filter(({ severity }) => severity === 'blocker');
  if (blockers.length === 0) return;
  throw new ShardlineError(
    routerErrors.SCHEMA_NOT_COPIED,
    `Shard '${shard}' cannot be given the tables: ${blockers.map(({ message }) => message).join(' ')}`,
    { details: { shard, objects: blockers.map(({ subject }) => subject) } },
  );
}

async function rolesOf(client: Queryable): Promise<Set<string>> {
  const { rows } = await client.query<{ name: string }>(
    'SELECT oid::regrole::text AS name FROM pg_catalog.pg_roles',
  );
  return new Set(['PUBLIC', ...rows.map(({ name }) => name)]);
}

function isForKnownRole(identity: string, roles: ReadonlySet<string>): boolean {
  return roles.has(identity.slice(identity.lastIndexOf(' to ') + 4));
}

/** What is not the same in two shards' tables, the standing guards apart. */
async function differencesBetween(
  from: ShardEndpoint,
  to: ShardEndpoint,
  tables: readonly TableName[],
): Promise<Finding[]> {
  const [old, fresh] = await Promise.all(
    [from, to].map(async ({ primary }) => {
      const { rows } = await primary.query(schemaSql, [
        tables.map(({ schema }) => schema),
        tables.map(({ name }) => name),
      ]);
      return (rows as unknown as SchemaPart[]).filter(
        ({ part }) => !part.startsWith('trigger ~shardline_'),
      );
    }),
  );
  return schemaDifferences(from.name, old as SchemaPart[], to.name, fresh as SchemaPart[]);
}

/** The differences as findings (pure). */
export function schemaDifferences(
  from: string,
  old: readonly SchemaPart[],
  to: string,
  fresh: readonly SchemaPart[],
): Finding[] {
  const found = new FindingList(to);
  for (const { table, part, definitions } of findDifferences(
    new Map([
      ['old', old],
      ['fresh', fresh],
    ]),
  )) {
    found.add(
      'blocker',
      'SCHEMA_DIFFERS',
      `${table} ${part}`,
      `It is ${definitions['fresh'] ?? 'missing'} here and ${definitions['old'] ?? 'missing'} on '${from}'.`,
      { remedy: 'Make the shards the same, with `everywhere` or `shardline exec`.' },
    );
  }
  return found.findings;
}
