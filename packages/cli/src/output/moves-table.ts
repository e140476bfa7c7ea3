import type { MoveStatus } from '@shardline/shard-router/rebalance';
import { shortId, shownState, whyWaiting } from './move-line.js';
import type { Style } from './style.js';
import { renderTable } from './table.js';
import { formatBytes, formatCount, formatSpan } from './units.js';

/** What became of moves, one to a line. */
export function movesTable(moves: readonly MoveStatus[], style: Style): string {
  if (moves.length === 0) return 'No moves.';
  return renderTable(
    [
      { title: 'Move' },
      { title: 'Keyspace' },
      { title: 'From' },
      { title: 'To' },
      { title: 'Slots', align: 'right' },
      { title: 'State' },
      { title: 'Rows', align: 'right' },
      { title: 'Bytes', align: 'right' },
      { title: 'Pause', align: 'right' },
      { title: 'Remarks' },
    ],
    moves.map((move) => [
      shortId(move.id),
      move.keyspace,
      move.source,
      move.destination,
      formatCount(move.slots.length),
      shownState(move),
      formatCount(move.progress.copiedRows),
      formatBytes(move.progress.copiedBytes),
      formatSpan(move.pauseMs),
      remarks(move),
    ]),
    style,
  );
}

function remarks(move: MoveStatus): string {
  return [whyWaiting(move), move.lastError].filter((text) => text !== undefined).join('; ');
}
