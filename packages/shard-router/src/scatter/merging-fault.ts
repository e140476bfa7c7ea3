/**
 * What keeps a statement from being scattered (pure): it writes, or its own order, limit or totals would hold
 * for each shard instead of for all.
 */

import { callsOf, hasNode, isTotal, type Node } from '../sql/tree.js';

/** Nodes of the grammar that change data, or may. */
export const WRITES: ReadonlySet<string> = new Set([
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'CallStmt',
]);

const INTO: ReadonlySet<string> = new Set(['intoClause']);
const LOCKS: ReadonlySet<string> = new Set(['lockingClause']);

/** Why a SELECT does more than read. */
export function writingFault(select: Node): string | undefined {
  if (hasNode(select, WRITES)) return 'it writes; a scatter only reads';
  if (hasNode(select, INTO)) return 'SELECT INTO makes a table; a scatter only reads';
  if (hasNode(select, LOCKS)) return 'it locks rows; a scatter only reads';
  return undefined;
}

/** What would be wrong if the rows of the shards were put together: each of these is computed over all rows. */
export function mergingFault(select: Node): string | undefined {
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

/** Whether a total or a window function stands in an expression, and not in a subquery of its own. */
function hasTotal(node: unknown): boolean {
  return callsOf(node).some((call) => call['over'] !== undefined || isTotal(call));
}
