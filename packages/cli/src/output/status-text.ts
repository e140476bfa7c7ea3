/** Everything at one glance: shards, routers, moves (pure). */

import type { RebalanceStatus, RouterStatus, ShardStatus } from '@shardline/shard-router/rebalance';
import { moveLine } from './move-line.js';
import { movesTable } from './moves-table.js';
import type { Style } from './style.js';
import { renderTable } from './table.js';
import { formatCount, formatSpan, plural } from './units.js';

/** Rates of the active moves by id, where the caller has measured them. */
export type Rates = ReadonlyMap<string, number | undefined>;

/** The whole status. */
export function statusText(
  status: RebalanceStatus,
  style: Style,
  rates: Rates = new Map(),
): string {
  const { epoch, revision, shards, routers, active, recent } = status;
  return [
    `${style.bold(`Epoch ${epoch}`)}, revision ${revision}, ${plural(shards.length, 'shard')}, ${routersLine(routers, style)}`,
    shardsTable(shards, style),
    active.length === 0
      ? 'No move is under way.'
      : active.map((move) => moveLine(move, rates.get(move.id), style)).join('\n'),
    ...(recent.length === 0
      ? []
      : [`${style.bold('Over')}\n${movesTable(recent.slice(0, RECENT_SHOWN), style)}`]),
  ].join('\n\n');
}

const RECENT_SHOWN = 5;

/** How many routers there are, and whom a switch would wait for. */
function routersLine(routers: readonly RouterStatus[], style: Style): string {
  const behind = routers.filter(({ isCurrent }) => !isCurrent);
  const all = plural(routers.length, 'router');
  if (behind.length === 0) return all;
  const names = behind.map(({ name }) => name).join(', ');
  return `${all}, ${style.yellow(`${behind.length} behind: ${names}`)}`;
}

/** Shards with their slots by keyspace and the state of their records. */
export function shardsTable(shards: readonly ShardStatus[], style: Style): string {
  const keyspaces = [...new Set(shards.flatMap(({ slots }) => Object.keys(slots)))].sort();
  return renderTable(
    [
      { title: 'Shard' },
      { title: 'Weight', align: 'right' },
      ...keyspaces.map((title) => ({ title, align: 'right' as const })),
      { title: 'Record' },
      { title: 'Tables', align: 'right' },
    ],
    shards.map((shard) => [
      shard.name,
      String(shard.weight),
      ...keyspaces.map((keyspace) => formatCount(shard.slots[keyspace] ?? 0)),
      recordText(shard, style),
      shard.guardedTables === undefined ? '–' : `${shard.guardedTables.length} guarded`,
    ]),
    style,
  );
}

function recordText({ isRecordCurrent, error }: ShardStatus, style: Style): string {
  if (error !== undefined) return style.red(error);
  if (isRecordCurrent === undefined) return '–';
  return isRecordCurrent ? 'current' : style.yellow('differs from the catalog');
}

/** Routers with what a switch needs to know of them. */
export function routersTable(routers: readonly RouterStatus[], style: Style): string {
  if (routers.length === 0) return 'No router follows this catalog.';
  return renderTable(
    [
      { title: 'Router' },
      { title: 'Id' },
      { title: 'Version' },
      { title: 'Acknowledged', align: 'right' },
      { title: 'State' },
      { title: 'Lease', align: 'right' },
      { title: 'Seen', align: 'right' },
    ],
    routers.map((router) => [
      router.name,
      router.id.slice(0, 8),
      router.version,
      String(router.acknowledgedRevision),
      router.isCurrent ? style.green('current') : style.yellow('behind'),
      router.leaseLeftMs > 0 ? formatSpan(router.leaseLeftMs) : style.yellow('expired'),
      `${formatSpan(router.seenMsAgo)} ago`,
    ]),
    style,
  );
}
