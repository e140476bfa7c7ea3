import type { TreeNode } from './grammar.js';
import type { FunctionCatalog } from './volatile-functions.js';

/**
 * Whether a query is provably a pure read: a walk over its parse tree with a list of what is allowed.
 *
 * The tree names the type of a node by a field with a capital letter. A type that is not on the list
 * is refused, so that a construct of a later grammar is a write until somebody has thought about it.
 */
const PURE_NODES: ReadonlySet<string> = new Set(
  (
    'SelectStmt ResTarget ColumnRef A_Star A_Const ParamRef A_Expr BoolExpr FuncCall RangeVar JoinExpr ' +
    'RangeSubselect RangeFunction RangeTableSample RangeTableFunc RangeTableFuncCol SubLink ' +
    'CommonTableExpr SortBy WindowDef NullTest BooleanTest CaseExpr CaseWhen CoalesceExpr MinMaxExpr ' +
    'TypeCast TypeName A_ArrayExpr A_Indirection A_Indices RowExpr List String Integer Float Boolean ' +
    'BitString CollateClause GroupingFunc GroupingSet SQLValueFunction NamedArgExpr XmlExpr XmlSerialize ' +
    'JsonObjectConstructor JsonArrayConstructor JsonArrayQueryConstructor JsonObjectAgg JsonArrayAgg ' +
    'JsonAggConstructor JsonKeyValue JsonValueExpr JsonParseExpr JsonScalarExpr JsonSerializeExpr ' +
    'JsonIsPredicate JsonFuncExpr JsonTable JsonTableColumn JsonTablePathSpec JsonBehavior JsonOutput ' +
    'JsonArgument JsonReturning JsonFormat'
  ).split(' '),
);

/** Views that show the server itself, and so say something else on each. */
const NODE_LOCAL_RELATION =
  /^pg_(?:stat_|statio_|locks$|cursors$|prepared_|replication_|settings$|file_settings$|shmem|backend_memory|hba_|ident_|aios$|wait_events$)/;

/** Why a query is no pure read. */
export interface Refusal {
  readonly kind: 'write' | 'session';
  readonly reason: string;
  /** It is a plain SELECT; only a name in it is not known to be pure. */
  readonly isOverridable: boolean;
}

/** Why a query is no pure read; undefined if it is one. */
export function findRefusal(query: TreeNode, catalog: FunctionCatalog): Refusal | undefined {
  let softest: Refusal | undefined;
  const pending: unknown[] = [query];
  while (pending.length > 0) {
    const value = pending.pop();
    if (Array.isArray(value)) {
      for (const item of value) if (typeof item === 'object') pending.push(item);
      continue;
    }
    for (const [key, child] of Object.entries(value as TreeNode)) {
      if (typeof child !== 'object' || child === null) continue;
      const refusal = refuseField(key, child as TreeNode, catalog);
      if (refusal !== undefined && !refusal.isOverridable) return refusal;
      // A use of session state says more than an unknown name: such a statement needs its connection.
      if (refusal !== undefined && softest?.kind !== 'session') softest = refusal;
      pending.push(child);
    }
  }
  return softest;
}

function refuseField(key: string, node: TreeNode, catalog: FunctionCatalog): Refusal | undefined {
  if (key === 'intoClause') return refuseInto(node);
  const first = key.charCodeAt(0);
  // Only names of node types begin with A to Z.
  if (first < 65 || first > 90) return undefined;
  if (!PURE_NODES.has(key)) {
    return { kind: 'write', reason: `${nodeTitle(key)} in a query`, isOverridable: false };
  }
  switch (key) {
    case 'FuncCall':
      return refuseFunction(node, catalog);
    case 'RangeVar':
      return refuseRelation(node, catalog);
    case 'A_Expr':
      return refuseOperator(node, catalog);
    case 'TypeCast':
      return refuseCast(node, catalog);
    case 'ColumnRef':
      return refuseAttribute(node['fields'], 1, catalog);
    case 'A_Indirection':
      return refuseAttribute(node['indirection'], 0, catalog);
    default:
      return undefined;
  }
}

function refuseInto(into: TreeNode): Refusal {
  const isTemporary = (into['rel'] as TreeNode | undefined)?.['relpersistence'] === 't';
  return {
    kind: isTemporary ? 'session' : 'write',
    reason: isTemporary ? 'SELECT INTO a temporary table' : 'SELECT INTO',
    isOverridable: false,
  };
}

function refuseFunction(node: TreeNode, catalog: FunctionCatalog): Refusal | undefined {
  const [schema, name] = qualifiedName(node['funcname']);
  switch (catalog.natureOf(schema, name)) {
    case 'pure':
      return undefined;
    case 'session':
      return { kind: 'session', reason: `${name}() uses session state`, isOverridable: true };
    case 'volatile':
      return { kind: 'write', reason: `${name}() is volatile`, isOverridable: true };
    case 'unknown':
      return { kind: 'write', reason: `${name}() is not known`, isOverridable: true };
  }
}

/** Why a relation cannot be read on just any server; undefined if it can. */
export function refuseRelation(node: TreeNode, catalog: FunctionCatalog): Refusal | undefined {
  const schema = node['schemaname'] as string | undefined;
  const name = node['relname'] as string;
  if (schema?.startsWith('pg_temp')) {
    return { kind: 'session', reason: `${name} is a temporary table`, isOverridable: false };
  }
  const isSystem = schema === undefined || schema === 'pg_catalog';
  if (isSystem && NODE_LOCAL_RELATION.test(name)) {
    return { kind: 'write', reason: `${name} shows the server itself`, isOverridable: true };
  }
  const reason = catalog.relationRefusal(schema, name);
  return reason === undefined ? undefined : { kind: 'write', reason, isOverridable: true };
}

function refuseOperator(node: TreeNode, catalog: FunctionCatalog): Refusal | undefined {
  const [, name] = qualifiedName(node['name']);
  if (!catalog.isVolatileOperator(name)) return undefined;
  return { kind: 'write', reason: `the operator ${name} is volatile`, isOverridable: true };
}

function refuseCast(node: TreeNode, catalog: FunctionCatalog): Refusal | undefined {
  const [, name] = qualifiedName((node['typeName'] as TreeNode | undefined)?.['names']);
  if (!catalog.isVolatileCast(name)) return undefined;
  return { kind: 'write', reason: `the cast to ${name} is volatile`, isOverridable: true };
}

/** `row.name` calls the function `name(row)` where the row has no column of that name. */
function refuseAttribute(
  fields: unknown,
  from: number,
  catalog: FunctionCatalog,
): Refusal | undefined {
  for (const name of names(fields).slice(from)) {
    if (catalog.isVolatileAttribute(name)) {
      return {
        kind: 'write',
        reason: `.${name} may call a volatile function`,
        isOverridable: true,
      };
    }
  }
  return undefined;
}

function qualifiedName(parts: unknown): [schema: string | undefined, name: string] {
  const all = names(parts);
  return [all.at(-2), all.at(-1) ?? ''];
}

function names(parts: unknown): string[] {
  if (!Array.isArray(parts)) return [];
  const found: string[] = [];
  for (const part of parts as { String?: { sval?: string } }[]) {
    if (part.String !== undefined) found.push(part.String.sval ?? '');
  }
  return found;
}

/** `LockingClause` as people say it. */
function nodeTitle(type: string): string {
  if (type === 'LockingClause') return 'FOR UPDATE or another locking clause';
  return type.replace(/Stmt$/, '').toUpperCase();
}
