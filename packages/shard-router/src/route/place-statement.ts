/**
 * Where a statement belongs, told from its text (pure).
 *
 * The router itself never guesses: its callers say by which call, and for which key, a statement runs. This is for
 * people who ask which call that would be, and it follows the same rules in the same order: the key that is given; the key
 * that the statement names for every sharded table in it; else every shard, if the rows of the shards can be put
 * together. What fits nowhere is refused, with the reason.
 */

import { isShardlineError, type ShardlineError } from '@shardline/core';
import type { ShardKey } from '../keyspace.js';
import type { FilledRouterOptions } from '../router-options.js';
import { analyseColocation } from '../scatter/colocation.js';
import { declaredTables } from '../scatter/declared-tables.js';
import { mergingFault, writingFault } from '../scatter/merging-fault.js';
import type { ListedKeys } from '../scatter/stated-equalities.js';
import { type PinnedValue, pinOf } from '../sql/pinned.js';
import { collect, isTable, type NamedTable, type Node, parseStatements } from '../sql/tree.js';

/**
 * By which rule a statement was placed.
 *
 * - `key`: the caller gave the key. `key-in-statement`, `keys-in-statement`: the statement names it, or several.
 * - `scatter`: no key is named, and the rows of all shards can be put together.
 * - `reference`, `unsharded`: by where its tables are declared to be.
 * - `everywhere`: DDL, or a write that names no key; it runs on every shard, in a transaction on each.
 * - `refused`: the router would not run it.
 */
export type PlacementRule =
  | 'key'
  | 'key-in-statement'
  | 'keys-in-statement'
  | 'scatter'
  | 'reference'
  | 'unsharded'
  | 'everywhere'
  | 'refused';

/** Where a statement belongs. */
export interface StatementPlace {
  readonly rule: PlacementRule;
  readonly keyspace: string | undefined;
  /** The keys whose shards are asked, as far as their values are known. */
  readonly keys: readonly ShardKey[] | undefined;
  readonly isWrite: boolean;
  readonly reason: string;
}

const DATA: ReadonlySet<string> = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
]);

/**
 * Places a statement.
 *
 * @param key the key that the caller names, if any.
 * @param keyspace the keyspace that the caller names, if any.
 * @throws ShardlineError `STATEMENT_INVALID`.
 */
export function placeStatement(
  sql: string,
  values: readonly unknown[],
  options: FilledRouterOptions,
  { key, keyspace }: { readonly key?: ShardKey; readonly keyspace?: string } = {},
): StatementPlace {
  const [stmt, ...others] = parseStatements(sql);
  const [type] = Object.keys(stmt ?? {});
  const isWrite = type !== 'SelectStmt' || writingFault(stmt?.['SelectStmt'] as Node) !== undefined;
  const found = findTables(stmt, options);
  const named = keyspace ?? found.keyspaces[0] ?? options.keyspaces.keys().next().value;
  const place = (
    rule: PlacementRule,
    reason: string,
    keys?: readonly ShardKey[],
  ): StatementPlace => ({
    rule,
    reason,
    keys,
    isWrite,
    keyspace: isOfKeyspace(rule) ? named : undefined,
  });
  if (key !== undefined) {
    const own = placeStatement(sql, values, options, { ...(named && { keyspace: named }) }).keys;
    const differs = own?.some((one) => String(one) !== String(key)) === true;
    const but = differs ? ', though the statement itself names another' : '';
    return place('key', `the caller names the key${but}`, [key]);
  }
  if (stmt === undefined || type === undefined) return place('refused', 'there is no statement');
  if (others.length > 0) return placeSeveral([stmt, ...others], place);
  if (!DATA.has(type)) return placeOther(type, place);
  const foreign = [...found.keyspaces.slice(1), ...(found.isUnsharded ? ['unsharded tables'] : [])];
  if (found.keyspaces.length > 0 && foreign.length > 0) {
    return place('refused', `its tables lie apart: '${named}' and ${foreign.join(', ')}`);
  }
  if (found.keyspaces.length === 0 && found.isUnsharded) {
    return place('unsharded', `its tables lie on shard '${options.unsharded?.shard}' alone`);
  }
  if (found.keyspaces.length === 0 && found.isReference) {
    return place(
      'reference',
      isWrite
        ? 'it writes a reference table, which every shard holds'
        : 'it reads reference tables alone, which any shard can do',
    );
  }
  return placeSharded(stmt, type, values, { options, keyspace: named ?? '', isWrite, place });
}

type Place = (rule: PlacementRule, reason: string, keys?: readonly ShardKey[]) => StatementPlace;

function isOfKeyspace(rule: PlacementRule): boolean {
  return rule === 'key' || rule === 'scatter' || rule.endsWith('-in-statement');
}

function placeSeveral(statements: readonly Node[], place: Place): StatementPlace {
  const isAllDdl = statements.every((stmt) => !DATA.has(Object.keys(stmt)[0] ?? ''));
  return isAllDdl
    ? place('everywhere', 'DDL runs on every shard')
    : place('refused', 'it is several statements; a call takes one');
}

function placeOther(type: string, place: Place): StatementPlace {
  if (type === 'TransactionStmt') {
    return place('refused', 'a transaction belongs to a key; use `transaction(key, work)`');
  }
  const title = type.replace(/Stmt$/, '');
  return place('everywhere', `${title} concerns every shard`);
}

interface Sharded {
  readonly options: FilledRouterOptions;
  readonly keyspace: string;
  readonly isWrite: boolean;
  readonly place: Place;
}

function placeSharded(
  stmt: Node,
  type: string,
  values: readonly unknown[],
  { options, keyspace, isWrite, place }: Sharded,
): StatementPlace {
  const node = stmt[type] as Node;
  const inserted =
    type === 'InsertStmt'
      ? insertedKeys(node, options.keyspaces.get(keyspace)?.tables ?? [])
      : undefined;
  if (typeof inserted === 'string') return place('refused', inserted);
  const scope = declaredTables(options, keyspace);
  try {
    const named = inserted ?? namedKeys(analyseColocation(readPart(type, node), scope));
    if (named !== undefined) return placeByKeys(named, values, place);
  } catch (error) {
    if (!isShardlineError(error, 'SCATTER_REFUSED')) throw error;
    return place('refused', withoutStop(error));
  }
  if (isWrite) {
    return place('everywhere', 'it writes and names no key, so it can only run on every shard');
  }
  const fault = mergingFault(node);
  return fault === undefined
    ? place('scatter', 'no key is named, so every shard that owns slots is asked')
    : place('refused', `no key is named, and ${fault}`);
}

/** What a statement reads, written as a SELECT. */
function readPart(type: string, node: Node): Node {
  if (type === 'SelectStmt') return node;
  const {
    relation,
    fromClause,
    usingClause,
    sourceRelation,
    joinCondition,
    whereClause,
    withClause,
  } = node as Record<string, Node | Node[] | undefined>;
  const others = (fromClause ??
    usingClause ??
    (sourceRelation === undefined ? [] : [sourceRelation])) as Node[];
  return {
    op: 'SETOP_NONE',
    fromClause: [{ RangeVar: relation }, ...others],
    whereClause: whereClause ?? joinCondition,
    ...(withClause === undefined ? {} : { withClause }),
  };
}

function namedKeys({ key, keys }: ReturnType<typeof analyseColocation>): ListedKeys | undefined {
  return key === undefined ? keys : [key];
}

/** The keys of the rows of an INSERT, or why they cannot be told. */
function insertedKeys(
  insert: Node,
  tables: readonly (NamedTable & { readonly key: string })[],
): readonly PinnedValue[] | string {
  const table = tables.find((known) => isTable(known, insert['relation'] as Node));
  if (table === undefined) return 'it inserts into a table that nobody has declared; name its key';
  const columns = (insert['cols'] as Node[] | undefined)?.map(
    (column) => (column['ResTarget'] as Node)['name'],
  );
  const at = columns?.indexOf(table.key) ?? -1;
  if (at < 0) return `its column list does not name the key '${table.key}'`;
  const select = (insert['selectStmt'] as Node | undefined)?.['SelectStmt'] as Node | undefined;
  const rows = (select?.['valuesLists'] as Node[] | undefined)?.map(
    (row) => (row['List'] as Node)['items'] as Node[],
  );
  if (rows === undefined)
    return 'it inserts what a query gives; nobody can tell the keys beforehand';
  const keys = rows.map((row) => pinOf(row[at]));
  return keys.every((key) => key !== undefined)
    ? keys
    : `the key '${table.key}' of a row is an expression; name its key`;
}

function placeByKeys(named: ListedKeys, values: readonly unknown[], place: Place): StatementPlace {
  const isOne = !('listParameter' in named) && named.length === 1;
  const rule = isOne ? 'key-in-statement' : 'keys-in-statement';
  const keys =
    'listParameter' in named
      ? (values[named.listParameter - 1] as ShardKey[] | undefined)
      : named.map((pin) => pinnedValue(pin, values));
  if (!Array.isArray(keys) || keys.some((key) => key === undefined)) {
    return place(rule, 'the statement names its key by a parameter for which no value was given');
  }
  const what = isOne ? 'the key' : `${new Set(keys).size} keys`;
  return place(
    rule,
    `the statement names ${what} of every sharded table in it`,
    keys as ShardKey[],
  );
}

function pinnedValue(pin: PinnedValue, values: readonly unknown[]): ShardKey | undefined {
  return 'constant' in pin ? pin.constant : (values[pin.parameter - 1] as ShardKey | undefined);
}

interface FoundTables {
  /** Keyspaces of the tables, in the order in which they are named. */
  readonly keyspaces: readonly string[];
  readonly isReference: boolean;
  readonly isUnsharded: boolean;
}

function findTables(
  stmt: Node | undefined,
  { keyspaces, referenceTables, unsharded }: FilledRouterOptions,
): FoundTables {
  const ranges: Node[] = [];
  for (const kind of ['RangeVar', 'relation']) collect(stmt, kind, ranges);
  const found = new Set<string>();
  for (const range of ranges) {
    for (const [name, { tables }] of keyspaces) {
      if (tables.some((table) => isTable(table, range))) found.add(name);
    }
  }
  const names = (tables: readonly NamedTable[]) =>
    ranges.some((range) => tables.some((table) => isTable(table, range)));
  return {
    keyspaces: [...found],
    isReference: names(referenceTables),
    isUnsharded: names(unsharded?.tables ?? []),
  };
}

function withoutStop(error: ShardlineError): string {
  return error.message.replace(/^.*?: /, '').replace(/\.$/, '');
}
