import type { RepairAction } from '@shardline/shard-router/rebalance';
import type { Style } from './style.js';
import { indent } from './table.js';

/** What is out of place and what is done about it, sorted, so that two runs compare. */
export function repairText(actions: readonly RepairAction[], style: Style): string {
  if (actions.length === 0) return style.green('The servers hold what the journal says.');
  const key = ({ on, kind, object }: RepairAction) => `${on} ${kind} ${object}`;
  return [...actions]
    .sort((a, b) => (key(a) < key(b) ? -1 : 1))
    .map(({ on, kind, object, problem, action, sql, isDone }) =>
      [
        `${isDone ? style.green('mended') : style.yellow('found ')}  ${on}: ${kind} ${style.bold(object)}`,
        indent(problem, 8),
        indent(`→ ${action}`, 8),
        ...sql.map((statement) => indent(style.dim(statement.trim()), 10)),
      ].join('\n'),
    )
    .join('\n');
}
