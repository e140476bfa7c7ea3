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

import { quoteIdentifier, quoteInteger } from '@shardline/core';
import { deparseSync } from 'pgsql-deparser';
import { type Keyspace, type ShardedTable, slotExpression } from '../keyspace.js';
import {
  aliasOf,
  collect,
  functionName,
  HARMLESS_SETS,
  hasNode,
  isTable,
  type Node,
  parseStatements,
} from '../sql/tree.js';
import { mergingFault, WRITES, writingFault } from './merging-fault.js';
import { refused, refusedWhileMoving } from './refusal.js';

/** What the rewriting knows of the database. */
export interface RewriteScope {
  readonly keyspace: Keyspace;
  readonly tables: readonly ShardedTable[];
  /** Tables that are the same on every shard. */
  readonly referenceTables: readonly { readonly schema: string; readonly name: string }[];
  /** Names of functions that are not PostgreSQL's own and may read tables. */
  readonly userFunctions: ReadonlySet<string>;
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
    const sharded = this.#scope.tables.find((known) => isTable(known, table));
    if (sharded === undefined) {
      const isKnown =
        schema === 'pg_catalog' ||
        schema === 'information_schema' ||
        this.#scope.referenceTables.some((known) => isTable(known, table));
      if (isKnown) return item;
      throw refusedWhileMoving(
        `'${name}' is neither a sharded table of this keyspace nor a reference table`,
      );
    }
    const alias = aliasOf(table);
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
