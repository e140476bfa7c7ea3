import type { BootstrapStep } from '@shardline/shard-router';
import type { Style } from './style.js';
import { indent } from './table.js';

/** What `init --apply` does, with its SQL where somebody wants to read it first. */
export function bootstrapText(
  steps: readonly BootstrapStep[],
  hasSql: boolean,
  style: Style,
): string {
  if (steps.length === 0) return 'Everything is there already.';
  return steps
    .map(({ on, description, sql }) =>
      [
        `${style.bold(on)}: ${description}`,
        ...(hasSql ? sql.map((statement) => indent(style.dim(statement.trim()), 4)) : []),
      ].join('\n'),
    )
    .join('\n');
}
