/**
 * What a subquery computes over its rows has to be whole on every shard: its groups, its distinct rows and its windows
 * must each hold rows of one key (pure).
 */

import { callsOf, isTotal, type Node, stringOf } from '../sql/tree.js';
import { ADVICE, refused } from './refusal.js';
import { type Frame, isKey } from './relations.js';

/** @throws ShardlineError `SCATTER_REFUSED` if a subquery computes something over rows of several shards. */
export function checkWhole(select: Node, frame: Frame): void {
  checkLimit(select);
  const targets = ((select['targetList'] ?? []) as Node[]).map(
    (target) => target['ResTarget'] as Node,
  );
  const hasKey = (nodes: readonly (Node | undefined)[]) =>
    nodes.some((node) => isKey(resolved(node, targets), frame));
  const groups = select['groupClause'] as Node[] | undefined;
  const calls = callsOf([select['targetList'], select['havingClause']]);
  const hasTotals =
    select['havingClause'] !== undefined ||
    calls.some((call) => call['over'] === undefined && isTotal(call));
  if ((groups !== undefined || hasTotals) && !hasKey(groups ?? [])) {
    throw refused(
      `a subquery in it makes totals over rows of several shards; group it by the key, ${ADVICE}`,
    );
  }
  const distinct = select['distinctClause'] as Node[] | undefined;
  const isByColumns = distinct?.some((item) => Object.keys(item).length > 0) === true;
  const columns = isByColumns ? distinct : targets.map((target) => target['val'] as Node);
  if (distinct !== undefined && !hasKey(columns)) {
    throw refused(
      `DISTINCT in a subquery compares rows of several shards; put the key among its columns, ${ADVICE}`,
    );
  }
  if (calls.some((call) => call['over'] !== undefined && !hasKey(partitionOf(call, select)))) {
    throw refused(
      `a window in a subquery spans rows of several shards; partition it by the key, ${ADVICE}`,
    );
  }
}

/** @throws ShardlineError `SCATTER_REFUSED` for a LIMIT that each shard would keep for itself. */
export function checkLimit(select: Node): void {
  if (select['limitCount'] === undefined && select['limitOffset'] === undefined) return;
  throw refused(
    `LIMIT or OFFSET in a subquery would hold for each shard; give it as an option of the scatter, ${ADVICE}`,
  );
}

/** `GROUP BY 1`, and `GROUP BY` of a name that the select list gives, mean what stands there. */
function resolved(node: Node | undefined, targets: readonly Node[]): Node | undefined {
  const position = (node?.['A_Const'] as { ival?: { ival?: number } } | undefined)?.ival?.ival;
  if (position !== undefined) return targets[position - 1]?.['val'] as Node | undefined;
  const fields = (node?.['ColumnRef'] as Node | undefined)?.['fields'] as Node[] | undefined;
  const name = fields?.length === 1 ? stringOf(fields[0]) : undefined;
  const target = name === undefined ? undefined : targets.find((one) => one['name'] === name);
  return (target?.['val'] as Node | undefined) ?? node;
}

function partitionOf(call: Node, select: Node): Node[] {
  const over = call['over'] as Node;
  const windows = ((select['windowClause'] ?? []) as Node[]).map(
    (item) => item['WindowDef'] as Node,
  );
  const named = windows.find((window) => window['name'] === (over['name'] ?? over['refname']));
  return [
    ...((over['partitionClause'] ?? []) as Node[]),
    ...((named?.['partitionClause'] ?? []) as Node[]),
  ];
}
