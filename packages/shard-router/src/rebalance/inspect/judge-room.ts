/** Whether there is room for what is copied: on the disk, and among the rows that are there. */

import type { Finding } from '../finding.js';
import type { MoveContext } from '../move-context.js';
import { findForeignRows } from '../verify-rows.js';
import { FindingList } from './judge-server.js';
import { hasSlots } from './judge-tables.js';
import type { InspectedTable } from './table-facts.js';

/** What the copy needs; whether it is there cannot be asked through SQL. */
export function spaceFindings(
  context: MoveContext,
  sourceTables: readonly InspectedTable[],
): Finding[] {
  const bytes = sourceTables.reduce((sum, { facts }) => sum + Number(facts?.bytes ?? 0), 0);
  const found = new FindingList(context.destination.name);
  found.add(
    'note',
    'DISK_NEEDED',
    'disk',
    `The tables take ${megabytes(bytes)} on '${context.source.name}'; ${context.slots.length} of ${context.keyspace.slots} slots move. The free space of a disk cannot be read through SQL.`,
    {
      remedy: `Make sure that '${context.destination.name}' has room for the moved part twice (rows, and their WAL), and '${context.source.name}' for the WAL of the time that the copy takes.`,
    },
  );
  return found.findings;
}

function megabytes(bytes: number): string {
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** Rows on the destination of slots that it does not own. */
export async function foreignFindings(
  context: MoveContext,
  destinationTables: readonly InspectedTable[],
): Promise<Finding[]> {
  const found = new FindingList(context.destination.name);
  const present = destinationTables
    .filter((inspected) => hasSlots(context.keyspace, inspected))
    .map(({ table }) => table);
  const moving = new Set(context.slots);
  const others = Array.from({ length: context.keyspace.slots }, (_, slot) => slot).filter(
    (slot) => !moving.has(slot),
  );
  const rows = await findForeignRows(context.destination, context.keyspace, present, others);
  for (const { table, slot, rows: count } of rows) {
    if (slot < 0) continue;
    found.add(
      'blocker',
      'FOREIGN_ROWS',
      `${table} slot ${slot}`,
      `The destination holds ${count} rows of a slot that it does not own; the copy would meet them.`,
      {
        remedy:
          'Find out where they come from, save what is of worth, and delete them; `shardline repair` lists them.',
      },
    );
  }
  return found.findings;
}
