import { parseStatements, type TreeNode } from './grammar.js';
import { readHint } from './hint.js';
import { findRefusal, refuseRelation } from './pure-read.js';
import type { StatementClass } from './statement-class.js';
import type { FunctionCatalog } from './volatile-functions.js';

/** What one statement of a text is; the text adds hint and count. */
type Single = Omit<StatementClass, 'hint' | 'statements'>;

/** A bulk write need not be parsed to be known as one, as long as it is the only statement. */
const LEADING_WRITE = /^\s*(insert|update|delete|merge)\b/i;

const SESSION_STATEMENTS: ReadonlyMap<string, string> = new Map([
  ['VariableShowStmt', 'SHOW reads session state'],
  ['PrepareStmt', 'PREPARE'],
  ['ExecuteStmt', 'EXECUTE of a prepared statement'],
  ['DeallocateStmt', 'DEALLOCATE'],
  ['DiscardStmt', 'DISCARD'],
  ['ListenStmt', 'LISTEN'],
  ['UnlistenStmt', 'UNLISTEN'],
  ['LoadStmt', 'LOAD'],
  ['DeclareCursorStmt', 'DECLARE of a cursor'],
  ['FetchStmt', 'FETCH from a cursor'],
  ['ClosePortalStmt', 'CLOSE of a cursor'],
  ['ConstraintsSetStmt', 'SET CONSTRAINTS'],
]);

/** Classifies a text without remembering the answer. */
export function classifyText(text: string, catalog: FunctionCatalog): StatementClass {
  const hint = readHint(text);
  const found = classifyAll(text, catalog);
  return Object.freeze(hint === undefined ? found : { ...found, hint });
}

function classifyAll(text: string, catalog: FunctionCatalog): StatementClass {
  const write = LEADING_WRITE.exec(text)?.[1];
  if (write !== undefined && !text.includes(';')) {
    return { kind: 'write', reason: write.toUpperCase(), statements: 1 };
  }
  const parsed = parseStatements(text);
  if (!parsed.ok) return { kind: 'unknown', reason: parsed.reason, statements: 1 };
  const singles = parsed.statements.map((tree) => classifyTree(tree, catalog));
  const [first] = singles;
  if (first === undefined) return { kind: 'read', reason: 'nothing to run', statements: 0 };
  return singles.length === 1 ? { ...first, statements: 1 } : combine(singles);
}

/** Several statements in one string run in one implicit transaction, on one connection. */
function combine(singles: readonly Single[]): StatementClass {
  const statements = singles.length;
  const foreign = singles.find(({ kind }) => kind !== 'read');
  if (foreign === undefined) return { kind: 'read', reason: 'only SELECTs', statements };
  const pinned = singles.find(({ kind }) => kind !== 'read' && kind !== 'write');
  const { reason } = pinned ?? foreign;
  return {
    kind: pinned === undefined ? 'write' : 'session',
    reason: `${reason}, among ${statements} statements`,
    statements,
  };
}

function classifyTree(tree: TreeNode, catalog: FunctionCatalog): Single {
  const [entry] = Object.entries(tree) as [string, TreeNode][];
  if (entry === undefined) return { kind: 'unknown', reason: 'an empty parse tree' };
  const [type, node] = entry;
  switch (type) {
    case 'SelectStmt':
      return classifyQuery(tree, 'SELECT', catalog);
    case 'ExplainStmt':
      return classifyExplain(node, catalog);
    case 'CopyStmt':
      return classifyCopy(node, catalog);
    case 'TransactionStmt':
      return classifyTransaction(node);
    case 'VariableSetStmt':
      return classifySet(node);
    default:
      return classifyOther(type, node);
  }
}

function classifyQuery(tree: TreeNode, title: string, catalog: FunctionCatalog): Single {
  const refusal = findRefusal(tree, catalog);
  if (refusal === undefined) return { kind: 'read', reason: title };
  const { kind, reason, isOverridable } = refusal;
  return isOverridable && kind === 'write' ? { kind, reason, isOverridable } : { kind, reason };
}

/** With or without ANALYZE, it is as pure as what it explains: plans of writes belong to the primary. */
function classifyExplain(node: TreeNode, catalog: FunctionCatalog): Single {
  const query = node['query'] as TreeNode | undefined;
  if (query?.['SelectStmt'] === undefined) {
    return { kind: 'write', reason: 'EXPLAIN of something other than SELECT' };
  }
  return classifyQuery(query, 'EXPLAIN of a SELECT', catalog);
}

function classifyCopy(node: TreeNode, catalog: FunctionCatalog): Single {
  if (node['is_from'] === true) return { kind: 'write', reason: 'COPY FROM' };
  if (node['is_program'] === true) return { kind: 'write', reason: 'COPY TO PROGRAM' };
  if (node['filename'] !== undefined) return { kind: 'write', reason: 'COPY TO a file' };
  const query = node['query'] as TreeNode | undefined;
  if (query !== undefined) {
    if (query['SelectStmt'] === undefined) return { kind: 'write', reason: 'COPY of a write' };
    return classifyQuery(query, 'COPY TO STDOUT', catalog);
  }
  const refusal = refuseRelation((node['relation'] ?? {}) as TreeNode, catalog);
  if (refusal !== undefined) return { kind: refusal.kind, reason: refusal.reason };
  return { kind: 'read', reason: 'COPY TO STDOUT' };
}

function classifyTransaction(node: TreeNode): Single {
  switch (node['kind']) {
    case 'TRANS_STMT_BEGIN':
    case 'TRANS_STMT_START':
      return classifyBegin(transactionModes(node['options']));
    case 'TRANS_STMT_COMMIT':
      return { kind: 'commit', reason: 'COMMIT' };
    case 'TRANS_STMT_ROLLBACK':
      return { kind: 'rollback', reason: 'ROLLBACK' };
    case 'TRANS_STMT_SAVEPOINT':
    case 'TRANS_STMT_RELEASE':
    case 'TRANS_STMT_ROLLBACK_TO':
      return { kind: 'session', reason: 'a savepoint' };
    default:
      return { kind: 'write', reason: 'a prepared transaction' };
  }
}

function classifyBegin(modes: TransactionModes): Single {
  if (modes.isReadOnly !== true) return { kind: 'begin', reason: 'BEGIN' };
  if (modes.isSerializable) {
    return { kind: 'begin', reason: 'BEGIN SERIALIZABLE, which no standby accepts' };
  }
  return { kind: 'begin-read-only', reason: 'BEGIN READ ONLY' };
}

function classifySet(node: TreeNode): Single {
  const name = String(node['name'] ?? '').toUpperCase();
  if (name !== 'TRANSACTION') return { kind: 'session', reason: `SET ${name.toLowerCase()}` };
  const { isReadOnly, isSerializable } = transactionModes(node['args']);
  const reason = 'SET TRANSACTION';
  if (isSerializable || isReadOnly === false) {
    return { kind: 'session', reason, declares: 'read-write' };
  }
  return isReadOnly
    ? { kind: 'session', reason, declares: 'read-only' }
    : { kind: 'session', reason };
}

interface TransactionModes {
  readonly isReadOnly: boolean | undefined;
  readonly isSerializable: boolean;
}

function transactionModes(options: unknown): TransactionModes {
  let isReadOnly: boolean | undefined;
  let isSerializable = false;
  for (const option of (options ?? []) as { DefElem?: TreeNode }[]) {
    const { defname, arg } = option.DefElem ?? {};
    const constant = (arg as { A_Const?: TreeNode } | undefined)?.A_Const;
    if (defname === 'transaction_read_only') {
      isReadOnly = (constant?.['ival'] as { ival?: number } | undefined)?.ival === 1;
    }
    if (defname === 'transaction_isolation') {
      const level = (constant?.['sval'] as { sval?: string } | undefined)?.sval ?? '';
      isSerializable = level.toLowerCase() === 'serializable';
    }
  }
  return { isReadOnly, isSerializable };
}

function classifyOther(type: string, node: TreeNode): Single {
  const session = SESSION_STATEMENTS.get(type);
  if (session !== undefined) return { kind: 'session', reason: session };
  const title = type.replace(/Stmt$/, '').toUpperCase();
  return isTemporary(node)
    ? { kind: 'session', reason: `${title} of a temporary relation` }
    : { kind: 'write', reason: title };
}

/** CREATE TEMP TABLE, TABLE AS, VIEW and SEQUENCE each keep the new relation's name elsewhere. */
function isTemporary(node: TreeNode): boolean {
  const into = node['into'] as TreeNode | undefined;
  const relation = (node['relation'] ?? node['view'] ?? node['sequence'] ?? into?.['rel']) as
    | TreeNode
    | undefined;
  if (relation === undefined || relation === null) return false;
  const schema = relation['schemaname'];
  return (
    relation['relpersistence'] === 't' ||
    (typeof schema === 'string' && schema.startsWith('pg_temp'))
  );
}
