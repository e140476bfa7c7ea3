/**
 * PostgreSQL's own parse tree (libpg-query), and the few ways in which it is walked.
 */

import { ShardlineError } from '@shardline/core';
import { loadModule, parseSync } from 'libpg-query';
import { routerErrors } from '../errors.js';

/** A node of the parse tree; its shape is the grammar's. */
export type Node = Record<string, unknown>;

/** A table as a statement may name it. */
export interface NamedTable {
  readonly schema: string;
  readonly name: string;
}

/** Loads the parser; everything else here is synchronous. */
export const loadParser: () => Promise<void> = loadModule;

/**
 * A text as its statements' trees, the parser having been loaded.
 *
 * @throws ShardlineError `STATEMENT_INVALID` with what the grammar says.
 */
export function parseStatements(sql: string): Node[] {
  const { stmts = [] } = parsed(sql);
  return stmts.map(({ stmt }) => stmt);
}

function parsed(sql: string): { stmts?: { stmt: Node }[] } {
  try {
    return parseSync(sql) as { stmts?: { stmt: Node }[] };
  } catch (cause) {
    throw new ShardlineError(
      routerErrors.STATEMENT_INVALID,
      `The statement cannot be read: ${(cause as Error).message}.`,
      { cause },
    );
  }
}

/** Whether a node of one of these kinds stands anywhere within. */
export function hasNode(node: unknown, names: ReadonlySet<string>): boolean {
  if (Array.isArray(node)) return node.some((item) => hasNode(item, names));
  if (typeof node !== 'object' || node === null) return false;
  return Object.entries(node).some(([key, value]) => names.has(key) || hasNode(value, names));
}

/** Every node of a kind, those within others included. */
export function collect(node: unknown, name: string, into: Node[]): void {
  if (Array.isArray(node)) for (const item of node) collect(item, name, into);
  else if (typeof node === 'object' && node !== null) {
    for (const [key, value] of Object.entries(node)) {
      if (key === name) into.push(value as Node);
      collect(value, name, into);
    }
  }
}

/** The text of a `String` node. */
export function stringOf(node: unknown): string | undefined {
  return (node as { String?: { sval?: string } } | undefined)?.String?.sval;
}

/** The name of a function, without its schema. */
export function functionName(call: Node): string {
  return stringOf((call['funcname'] as Node[]).at(-1)) ?? '';
}

/** The name that stands for a table in its statement. */
export function aliasOf(range: Node): string {
  const alias = range['alias'] as { aliasname?: string } | undefined;
  return alias?.aliasname ?? (range['relname'] as string);
}

/** Whether a table of a statement is a declared one. A name without a schema may be in any. */
export function isTable(known: NamedTable, range: Node): boolean {
  const schema = range['schemaname'] as string | undefined;
  return known.name === range['relname'] && (schema === undefined || schema === known.schema);
}

/** Set-returning functions of PostgreSQL that read no table. */
export const HARMLESS_SETS: ReadonlySet<string> = new Set(
  'generate_series unnest json_array_elements json_array_elements_text jsonb_array_elements jsonb_array_elements_text json_each json_each_text jsonb_each jsonb_each_text jsonb_object_keys json_object_keys jsonb_to_record jsonb_to_recordset json_to_recordset regexp_matches regexp_split_to_table string_to_table generate_subscripts'.split(
    ' ',
  ),
);

const TOTALS = new Set(
  'count sum avg min max array_agg string_agg json_agg jsonb_agg json_object_agg jsonb_object_agg bool_and bool_or every bit_and bit_or bit_xor stddev stddev_pop stddev_samp variance var_pop var_samp corr covar_pop covar_samp mode percentile_cont percentile_disc xmlagg range_agg any_value'.split(
    ' ',
  ),
);

/** Whether a function call is a total over rows. */
export function isTotal(call: Node): boolean {
  return call['agg_star'] === true || TOTALS.has(functionName(call));
}

/** The function calls of an expression that are not within a subquery of its own. */
export function callsOf(node: unknown): Node[] {
  const calls: Node[] = [];
  const walk = (part: unknown): void => {
    if (typeof part !== 'object' || part === null) return;
    for (const [key, value] of Object.entries(part)) {
      if (key === 'SelectStmt') continue;
      if (key === 'FuncCall') calls.push(value as Node);
      walk(value);
    }
  };
  walk(node);
  return calls;
}
