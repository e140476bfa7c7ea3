import type { PlannedStep } from '@shardline/shard-router/rebalance';
import type { Style } from './style.js';
import { indent } from './table.js';

/** Steps of a dry run, in the order given; the same input gives the same text. */
export function stepsText(steps: readonly PlannedStep[], style: Style): string {
  if (steps.length === 0) return 'Nothing would be done.';
  const lines: string[] = [];
  let move: string | undefined;
  let number = 0;
  for (const step of steps) {
    if (step.move !== move) {
      move = step.move;
      if (lines.length > 0) lines.push('');
      lines.push(style.bold(move));
    }
    number += 1;
    lines.push(stepText(step, number, style));
  }
  return lines.join('\n');
}

function stepText(step: PlannedStep, number: number, style: Style): string {
  const { state, on, description, sql, locks, isReversible } = step;
  const end = isReversible ? '' : style.yellow('  cannot be undone');
  return [
    `${String(number).padStart(3)}  ${style.cyan(state)}  ${on}: ${description}${end}`,
    ...(locks === undefined ? [] : [indent(style.yellow(`locks: ${locks}`), 5)]),
    ...sql.map((statement) => indent(style.dim(statement.trim()), 5)),
  ].join('\n');
}
