import type { VerifyReport } from '@shardline/shard-router/rebalance';
import type { Style } from './style.js';
import { renderTable } from './table.js';
import { formatCount, plural } from './units.js';

const SHOWN = 20;

/** What a comparison found, key by key. */
export function verifyText(report: VerifyReport, style: Style): string {
  const { slotsCompared, rowsCompared, differences, foreignRows, isComplete } = report;
  const parts = [
    `${plural(slotsCompared, 'slot')} and ${plural(rowsCompared, 'row')} compared${isComplete ? '' : ', not all of them'}.`,
  ];
  if (differences.length > 0) parts.push(differencesTable(report, style));
  if (foreignRows.length > 0) {
    parts.push(
      renderTable(
        [
          { title: 'Shard' },
          { title: 'Table' },
          { title: 'Slot', align: 'right' },
          { title: 'Rows that it does not own', align: 'right' },
        ],
        foreignRows.map(({ shard, table, slot, rows }) => [
          shard,
          table,
          String(slot),
          formatCount(rows),
        ]),
        style,
      ),
    );
  }
  parts.push(
    differences.length + foreignRows.length > 0
      ? style.red('Not equal.')
      : isComplete
        ? style.green('Everything is where it belongs.')
        : 'Equal so far; a second call takes up where this one ended.',
  );
  return parts.join('\n\n');
}

function differencesTable({ differences }: VerifyReport, style: Style): string {
  const table = renderTable(
    [{ title: 'Table' }, { title: 'Slot', align: 'right' }, { title: 'Key' }, { title: 'Differs' }],
    differences
      .slice(0, SHOWN)
      .map(({ table: name, slot, key, on }) => [
        name,
        String(slot),
        key,
        on === 'both' ? 'in its values' : `is on the ${on} alone`,
      ]),
    style,
  );
  const rest = differences.length - SHOWN;
  return rest > 0 ? `${table}\nand ${rest} more` : table;
}
