import type { StatementExplanation } from '@shardline/shard-router';
import type { Style } from './style.js';
import { renderTable } from './table.js';

/** Where a statement goes: the rule with its reason, then shard by shard. */
export function explanationText(explanation: StatementExplanation, style: Style): string {
  const { rule, reason, keyspace, epoch, call, shards } = explanation;
  const where = keyspace === undefined ? '' : ` in keyspace '${keyspace}'`;
  const head = `${rule === 'refused' ? style.red(rule) : style.bold(rule)}${where}, epoch ${epoch}: ${reason}.`;
  return [
    head.replace(/\.\.$/, '.'),
    ...(shards.length === 0 ? [] : [shardsOf(explanation, style)]),
    ...(call === undefined ? [] : [`In a service: ${style.cyan(call)}`]),
  ].join('\n\n');
}

function shardsOf({ shards }: StatementExplanation, style: Style): string {
  return renderTable(
    [
      { title: 'Shard' },
      { title: 'Slots' },
      { title: 'Server' },
      { title: 'Nodes' },
      { title: 'Because' },
    ],
    shards.map(({ shard, slots, role, nodes, reason }) => [
      shard,
      slots === undefined ? 'all of its own' : slots.join(', '),
      role,
      nodes.join(', '),
      reason,
    ]),
    style,
  );
}
