/**
 * Rewrites a statement for one shard: what it must not count is left out.
 *
 * While slots move, a shard may hold rows that are another's. Each reference to a sharded table is given a
 * condition that leaves those slots out: in the WHERE of its SELECT, or, where an outer join could turn a missing
 * row into nulls, inside a subselect in its place. The parse tree is PostgreSQL's own (libpg-query) and the text made from
 * it is read back and compared, so a fault of the deparser ends in a refusal and not in wrong rows.
 *
 * What cannot be seen through is refused while slots move: views and tables that nobody declared, functions of the
 * database's own. At rest such statements run as they are.
 */

import { quoteIdentifier, quoteInteger, ShardlineError } from '@shardline/core';
import { loadModule, parseSync } from 'libpg-query';
import { deparseSync } from 'pgsql-deparser';
import { routerErrors } from '../errors.js';
import { type Keyspace, type ShardedTable, slotExpression } from '../keyspace.js';

/** A node of the parse tree; its shape is the grammar's. */
type Node = Record<string, unknown>;

/** What the rewriting knows of the database. */
export interface RewriteScope {
  readonly keyspace: Keyspace;
  readonly tables: readonly ShardedTable[];
  /** Tables that are the same on every shard. */
  readonly referenceTables: readonly { readonly schema: string; readonly name: string }[];
  /** Names of functions that are not PostgreSQL's own and may read tables. */
  readonly userFunctions: ReadonlySet<string>;
}

/** Loads the parser; everything else here is synchronous. */
export const loadParser: () => Promise<void> = loadModule;

/** A statement as its tree, the parser having been loaded. */
export function parseStatements(sql: string): Node[] {
  const { stmts = [] } = parseSync(sql) as { stmts?: { stmt: Node }[] };
  return stmts.map(({ stmt }) => stmt);
}

/**
 * Parses a statement that is to be scattered.
 *
 * @param perShard accepts what is meant shard by shard.
 * @throws ShardlineError `SCATTER_REFUSED` for all but one plain SELECT.
 */
export function parseScatter(sql: string, perShard: boolean): Node {
  const [stmt, ...others] = parseStatements(sql);
  const select = stmt?.['SelectStmt'] as Node | undefined;
  if (select === undefined || others.length > 0) {
    throw refused(
      'a scatter takes one SELECT; writes go by key, by `insertMany` or by `everywhere`',
    );
  }
  const fault = writingFault(select) ?? (perShard ? undefined : mergingFault(select));
  if (fault !== undefined) throw refused(fault);
  return stmt as Node;
}

/** The statement without the rows of these slots. */
export function excludeSlots(stmt: Node, scope: RewriteScope, slots: readonly number[]): string {
  const copy = structuredClone(stmt);
  new Rewriter(scope, slots).select(copy['SelectStmt'] as Node, new Set());
  return deparseChecked(copy);
}

/** The text of a tree, proven to mean that tree. */
export function deparseChecked(stmt: Node): string {
  const text = deparseSync(stmt as never);
  const [again] = parseStatements(text);
  if (JSON.stringify(withoutPlaces(again)) !== JSON.stringify(withoutPlaces(stmt))) {
    throw refused('it could not be written back exactly after it was rewritten');
  }
  return text;
}

/** Whether running the statement again would do no harm: it writes nowhere but in its top level. */
export function isRerunnable(sql: string): boolean {
  const statements = parseStatements(sql);
  return statements.length === 1 && !hasNode(bodyOf(statements[0] as Node), WRITES);
}

function bodyOf(stmt: Node): unknown {
  const [kind] = Object.keys(stmt);
  // The statement itself may be an UPDATE that met no row; a WITH inside it may not.
  return RERUNNABLE.has(kind as string) ? stmt[kind as string] : stmt;
}

/** What may stand at the top: met no row, nothing was done. */
const RERUNNABLE: ReadonlySet<string> = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
]);

const WRITES: ReadonlySet<string> = new Set([
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'CallStmt',
]);

function writingFault(select: Node): string | undefined {
  if (hasNode(select, WRITES)) return 'it writes; a scatter only reads';
  if (hasNode(select, new Set(['intoClause'])))
    return 'SELECT INTO makes a table; a scatter only reads';
  if (hasNode(select, new Set(['lockingClause']))) return 'it locks rows; a scatter only reads';
  return undefined;
}

/** What would be wrong if the rows of the shards were put together: each of these is computed over all rows. */
function mergingFault(select: Node): string | undefined {
  const op = select['op'];
  if (op !== undefined && op !== 'SETOP_NONE') {
    if (op !== 'SETOP_UNION' || select['all'] !== true) {
      return 'UNION, INTERSECT and EXCEPT compare rows of all shards; use UNION ALL, or state `perShard: true`';
    }
    return mergingFault(select['larg'] as Node) ?? mergingFault(select['rarg'] as Node);
  }
  const options = 'give it as an option of the scatter, or state `perShard: true`';
  if (select['limitCount'] !== undefined || select['limitOffset'] !== undefined) {
    return `its LIMIT or OFFSET would hold for each shard; ${options}`;
  }
  if (select['sortClause'] !== undefined)
    return `its ORDER BY would hold for each shard; ${options}`;
  if (select['distinctClause'] !== undefined)
    return `its DISTINCT would hold for each shard; ${options}`;
  if (select['groupClause'] !== undefined)
    return `its GROUP BY would hold for each shard; ${options}`;
  if (hasTotal(select['targetList']) || select['havingClause'] !== undefined) {
    return `its totals or window functions would hold for each shard; ${options}`;
  }
  return undefined;
}

const TOTALS = new Set(
  'count sum avg min max array_agg string_agg json_agg jsonb_agg json_object_agg jsonb_object_agg bool_and bool_or every bit_and bit_or bit_xor stddev stddev_pop stddev_samp variance var_pop var_samp corr covar_pop covar_samp mode percentile_cont percentile_disc xmlagg range_agg any_value'.split(
    ' ',
  ),
);

/** Whether a total or a window function stands in an expression, and not in a subquery of its own. */
function hasTotal(node: unknown): boolean {
  if (Array.isArray(node)) return node.some(hasTotal);
  if (typeof node !== 'object' || node === null) return false;
  return Object.entries(node).some(([key, value]) => {
    if (key === 'SelectStmt') return false;
    if (key === 'FuncCall' && isTotal(value as Node)) return true;
    return hasTotal(value);
  });
}

function isTotal(call: Node): boolean {
  return call['over'] !== undefined || call['agg_star'] === true || TOTALS.has(functionName(call));
}

function functionName(call: Node): string {
  const last = (call['funcname'] as Node[]).at(-1) as { String?: { sval?: string } };
  return last.String?.sval ?? '';
}

function hasNode(node: unknown, names: ReadonlySet<string>): boolean {
  if (Array.isArray(node)) return node.some((item) => hasNode(item, names));
  if (typeof node !== 'object' || node === null) return false;
  return Object.entries(node).some(([key, value]) => names.has(key) || hasNode(value, names));
}

/** Set-returning functions of PostgreSQL that read no table. */
const HARMLESS_SETS = new Set(
  'generate_series unnest json_array_elements json_array_elements_text jsonb_array_elements jsonb_array_elements_text json_each json_each_text jsonb_each jsonb_each_text jsonb_object_keys json_object_keys jsonb_to_record jsonb_to_recordset json_to_recordset regexp_matches regexp_split_to_table string_to_table generate_subscripts'.split(
    ' ',
  ),
);

class Rewriter {
  readonly #scope: RewriteScope;
  readonly #slots: readonly number[];

  constructor(scope: RewriteScope, slots: readonly number[]) {
    this.#scope = scope;
    this.#slots = slots;
  }

  select(select: Node, outer: ReadonlySet<string>): void {
    const names = new Set(outer);
    const withClause = select['withClause'] as Node | undefined;
    for (const item of (withClause?.['ctes'] as Node[] | undefined) ?? []) {
      const cte = item['CommonTableExpr'] as Node;
      if (withClause?.['recursive'] === true) names.add(cte['ctename'] as string);
      this.#inside(cte['ctequery'], names);
      names.add(cte['ctename'] as string);
    }
    const conditions: Node[] = [];
    const from = select['fromClause'] as Node[] | undefined;
    if (from !== undefined) {
      select['fromClause'] = from.map((item) => this.#from(item, false, names, conditions));
    }
    for (const [key, value] of Object.entries(select)) {
      if (key === 'larg' || key === 'rarg') this.select(value as Node, names);
      else if (key !== 'fromClause' && key !== 'withClause') this.#inside(value, names);
    }
    if (conditions.length > 0) addConditions(select, conditions);
  }

  /** Looks for SELECTs within expressions, and for functions that cannot be seen through. */
  #inside(node: unknown, names: ReadonlySet<string>): void {
    if (Array.isArray(node)) {
      for (const item of node) this.#inside(item, names);
      return;
    }
    if (typeof node !== 'object' || node === null) return;
    for (const [key, value] of Object.entries(node)) {
      if (key === 'SelectStmt') this.select(value as Node, names);
      else {
        if (key === 'FuncCall') this.#checkFunction(value as Node);
        this.#inside(value, names);
      }
    }
  }

  #checkFunction(call: Node): void {
    const name = functionName(call);
    if (this.#scope.userFunctions.has(name)) {
      throw refusedWhileMoving(`nobody can tell which tables its function '${name}' reads`);
    }
  }

  #from(item: Node, isNullable: boolean, names: ReadonlySet<string>, conditions: Node[]): Node {
    const [kind] = Object.keys(item);
    const node = item[kind as string] as Node;
    switch (kind) {
      case 'RangeVar':
        return this.#table(item, node, isNullable, names, conditions);
      case 'JoinExpr':
        return this.#join(item, node, isNullable, names, conditions);
      case 'RangeSubselect':
        this.#inside(node['subquery'], names);
        return item;
      case 'RangeFunction':
        this.#inside(node['functions'], names);
        this.#checkSets(node);
        return item;
      default:
        throw refusedWhileMoving(`its FROM holds a ${kind}`);
    }
  }

  #join(
    item: Node,
    join: Node,
    isNullable: boolean,
    names: ReadonlySet<string>,
    conditions: Node[],
  ): Node {
    const type = join['jointype'];
    const leftIsNullable = isNullable || type === 'JOIN_RIGHT' || type === 'JOIN_FULL';
    const rightIsNullable = isNullable || type === 'JOIN_LEFT' || type === 'JOIN_FULL';
    join['larg'] = this.#from(join['larg'] as Node, leftIsNullable, names, conditions);
    join['rarg'] = this.#from(join['rarg'] as Node, rightIsNullable, names, conditions);
    this.#inside(join['quals'], names);
    return item;
  }

  #checkSets(node: Node): void {
    const calls: Node[] = [];
    collect(node['functions'], 'FuncCall', calls);
    for (const call of calls) {
      const name = functionName(call);
      if (!HARMLESS_SETS.has(name)) {
        throw refusedWhileMoving(`nobody can tell which tables '${name}' in its FROM reads`);
      }
    }
  }

  #table(
    item: Node,
    table: Node,
    isNullable: boolean,
    names: ReadonlySet<string>,
    conditions: Node[],
  ): Node {
    const schema = table['schemaname'] as string | undefined;
    const name = table['relname'] as string;
    if (schema === undefined && names.has(name)) return item;
    const sharded = this.#scope.tables.find((known) => isSame(known, schema, name));
    if (sharded === undefined) {
      const isKnown =
        schema === 'pg_catalog' ||
        schema === 'information_schema' ||
        this.#scope.referenceTables.some((known) => isSame(known, schema, name));
      if (isKnown) return item;
      throw refusedWhileMoving(
        `'${name}' is neither a sharded table of this keyspace nor a reference table`,
      );
    }
    const alias =
      ((table['alias'] as Node | undefined)?.['aliasname'] as string | undefined) ?? name;
    const condition = this.#condition(sharded, alias);
    if (!isNullable) {
      conditions.push(condition);
      return item;
    }
    return filteredSubselect(item, table, alias, condition);
  }

  #condition(table: ShardedTable, alias: string): Node {
    const slot = slotExpression(this.#scope.keyspace, table, { alias });
    const slots = this.#slots.map((value) => quoteInteger(value)).join(',');
    const [stmt] = parseStatements(
      `SELECT 1 WHERE ${slot} <> ALL ('{${slots}}'::pg_catalog.int8[])`,
    );
    return ((stmt as Node)['SelectStmt'] as Node)['whereClause'] as Node;
  }
}

function addConditions(select: Node, conditions: readonly Node[]): void {
  const where = select['whereClause'] as Node | undefined;
  const all = where === undefined ? conditions : [where, ...conditions];
  select['whereClause'] =
    all.length === 1 ? all[0] : { BoolExpr: { boolop: 'AND_EXPR', args: all } };
}

/** `(SELECT * FROM t AS a WHERE …) AS a` in place of `t AS a`. */
function filteredSubselect(item: Node, table: Node, alias: string, condition: Node): Node {
  const [stmt] = parseStatements(
    `SELECT 1 FROM (SELECT * FROM x WHERE true) AS ${quoteIdentifier(alias)}`,
  );
  const [subselect] = ((stmt as Node)['SelectStmt'] as Node)['fromClause'] as Node[];
  const range = (subselect as Node)['RangeSubselect'] as Node;
  const inner = (range['subquery'] as Node)['SelectStmt'] as Node;
  // Names that an alias gives to columns belong on the outside.
  const outerAlias = table['alias'] as Node | undefined;
  if (outerAlias !== undefined) range['alias'] = outerAlias;
  inner['fromClause'] = [
    { RangeVar: { ...(item['RangeVar'] as Node), alias: { aliasname: alias } } },
  ];
  inner['whereClause'] = condition;
  return subselect as Node;
}

function isSame(
  known: { schema: string; name: string },
  schema: string | undefined,
  name: string,
): boolean {
  return known.name === name && (schema === undefined || schema === known.schema);
}

function collect(node: unknown, name: string, into: Node[]): void {
  if (Array.isArray(node)) for (const item of node) collect(item, name, into);
  else if (typeof node === 'object' && node !== null) {
    for (const [key, value] of Object.entries(node)) {
      if (key === name) into.push(value as Node);
      collect(value, name, into);
    }
  }
}

/** A tree without the positions in the text; nested ANDs are flattened, as the grammar itself does. */
function withoutPlaces(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withoutPlaces);
  if (typeof node !== 'object' || node === null) return node;
  const entries = Object.entries(node).filter(
    ([key]) => key !== 'location' && key !== 'stmt_len' && key !== 'stmt_location',
  );
  const plain = Object.fromEntries(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [key, withoutPlaces(value)]),
  );
  const conjunction = plain['BoolExpr'] as { boolop?: string; args?: Node[] } | undefined;
  if (conjunction?.boolop !== 'AND_EXPR') return plain;
  const args = (conjunction.args ?? []).flatMap((arg) => {
    const inner = arg['BoolExpr'] as { boolop?: string; args?: Node[] } | undefined;
    return inner?.boolop === 'AND_EXPR' ? (inner.args ?? []) : [arg];
  });
  return { ...plain, BoolExpr: { ...conjunction, args } };
}

function refused(why: string): ShardlineError {
  return new ShardlineError(
    routerErrors.SCATTER_REFUSED,
    `The statement cannot be scattered: ${why}.`,
  );
}

function refusedWhileMoving(why: string): ShardlineError {
  return new ShardlineError(
    routerErrors.SCATTER_REFUSED,
    `While slots move, the statement cannot be scattered exactly: ${why}.`,
    { retryable: true, remedy: 'Try again when the move has ended, or declare what it reads.' },
  );
}
