/** A plan as a page to review: what changes, what moves, what it costs, how far it can be undone (pure). */

import type {
  PlacementChange,
  PlannedStep,
  RebalancePlan,
} from '@shardline/shard-router/rebalance';
import type { Style } from './style.js';
import { renderTable } from './table.js';
import { formatBytes, formatCount, formatTime, plural } from './units.js';

/** The whole page. */
export function planText(
  plan: RebalancePlan,
  steps: readonly PlannedStep[] | undefined,
  style: Style,
): string {
  const bytes = plan.moves.reduce((sum, move) => sum + move.bytes, 0);
  const rows = plan.moves.reduce((sum, move) => sum + move.rows, 0);
  const parts = [
    `${style.bold(`Plan ${plan.id}`)}, made ${formatTime(plan.createdAtMs)} for epoch ${plan.fromEpoch}: ${describeChange(plan.change)}.`,
    movesOf(plan, style),
    ...Object.keys(plan.balance).map((keyspace) => balanceOf(plan, keyspace, style)),
    `In all ${plural(plan.moves.length, 'move')}, about ${formatCount(rows)} rows and ${formatBytes(bytes)}.`,
    ...(steps === undefined ? [] : [riskOf(steps)]),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

/** A change as the beginning of a sentence's end: `shard 'c' joins`. */
export function describeChange(change: PlacementChange): string {
  switch (change.kind) {
    case 'add':
      return `shard '${change.shard}' joins${
        change.weight === undefined ? '' : ` with weight ${change.weight}`
      }`;
    case 'remove':
      return `shard '${change.shard}' gives all its slots away and leaves`;
    case 'drain':
      return `shard '${change.shard}' gives all its slots away and stays, with weight 0`;
    case 'reweight': {
      const weights = Object.entries(change.weights).map(([shard, weight]) => `${shard}=${weight}`);
      return weights.length === 0
        ? 'the slots are balanced by the weights that hold'
        : `new weights ${weights.sort().join(', ')}`;
    }
    case 'move-slots':
      return `${plural(change.slots.length, 'named slot')} of keyspace '${change.keyspace}' to shard '${change.destination}'`;
    case 'split':
      return `shard '${change.shard}' gives the fullest of its slots of keyspace '${change.keyspace}' away, by ${change.by}`;
  }
}

function movesOf({ moves }: RebalancePlan, style: Style): string {
  if (moves.length === 0) return 'No slot has to move.';
  return renderTable(
    [
      { title: 'Keyspace' },
      { title: 'From' },
      { title: 'To' },
      { title: 'Slots', align: 'right' },
      { title: 'Rows', align: 'right' },
      { title: 'Bytes', align: 'right' },
    ],
    moves.map((move) => [
      move.keyspace,
      move.source,
      move.destination,
      formatCount(move.slotCount),
      `~${formatCount(move.rows)}`,
      `~${formatBytes(move.bytes)}`,
    ]),
    style,
  );
}

function balanceOf(plan: RebalancePlan, keyspace: string, style: Style): string {
  const balance = Object.entries(plan.balance[keyspace] ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const table = renderTable(
    [
      { title: `Slots of ${keyspace}` },
      { title: 'Weight', align: 'right' },
      { title: 'Before', align: 'right' },
      { title: 'After', align: 'right' },
      { title: 'Change', align: 'right' },
    ],
    balance.map(([shard, { before, after }]) => [
      shard,
      String(plan.weights[shard] ?? '–'),
      formatCount(before),
      formatCount(after),
      signed(after - before),
    ]),
    style,
  );
  const minimality = plan.minimality[keyspace];
  if (minimality === undefined) return table;
  const { movedSlots, minimumSlots } = minimality;
  const verdict =
    movedSlots <= minimumSlots
      ? 'the fewest possible'
      : `${formatCount(movedSlots - minimumSlots)} more than the fewest possible`;
  return `${table}\n${plural(movedSlots, 'slot')} of ${keyspace} move, ${verdict}.`;
}

function signed(change: number): string {
  return change > 0 ? `+${formatCount(change)}` : change < 0 ? `−${formatCount(-change)}` : '·';
}

/** What is locked, and the last step that can still be undone. */
function riskOf(steps: readonly PlannedStep[]): string {
  const locks = [
    ...new Set(
      steps.flatMap(({ on, locks: held }) => (held === undefined ? [] : [`${on}: ${held}`])),
    ),
  ];
  const last = steps.findLast(({ isReversible }) => isReversible);
  return [
    ...(locks.length === 0
      ? ['Nothing is locked.']
      : ['Locked on the way:', ...locks.map((lock) => `  ${lock}`)]),
    ...(last === undefined
      ? []
      : [`Can be undone up to and including: ${last.state} (${last.description}).`]),
  ].join('\n');
}
