/**
 * Rows that a shard holds and does not own, outside of any move.
 *
 * They are deleted only where three agree: the topology says that the slot is another shard's, this shard's own record
 * says that it is not its own, and the record of the owner says that it is, since the very epoch of the topology.
 * Otherwise one of them is of another time, from a backup say, and nobody here can know which rows are the true ones:
 * then they are named, and stay.
 */

import { Keyspace } from '../keyspace.js';
import type { KeyspaceTopology } from '../topology/topology.js';
import { cleanForeignRows } from './clean-rows.js';
import type { Repair, RepairRequest } from './repair.js';
import type { ShardLink } from './shard-link.js';
import heldSlotsSql from './sql/held-slots.sql';
import lostSlotsSql from './sql/lost-slots.sql';
import { findForeignRows } from './verify-rows.js';

const BATCH_ROWS = 1000;

/** What to do about them, by table. */
export async function foreignRows(server: ShardLink, request: RepairRequest): Promise<Repair[]> {
  const { topology, keyspaces, busyShards } = request;
  if (busyShards.has(server.name)) return [];
  const repairs: Repair[] = [];
  for (const [name, { tables }] of keyspaces) {
    const map = topology.keyspace(name);
    const keyspace = new Keyspace(map.keyspace);
    const mayBeHere = [...map.slotsOf(server.name), ...map.transitSlots(server.name)];
    for (const table of tables) {
      const found = await findForeignRows(server, keyspace, [table], mayBeHere);
      // A row without a key has no slot, and is nobody's.
      const slots = found.map(({ slot }) => slot).filter((slot) => slot >= 0);
      const agreed = slots.length === 0 ? [] : await agreedSlots(server, name, map, slots, request);
      const countOf = (isWanted: (slot: number) => boolean) =>
        found.reduce((sum, { slot, rows }) => sum + (isWanted(slot) ? rows : 0), 0);
      const deleted = countOf((slot) => agreed.includes(slot));
      const kept = countOf((slot) => !agreed.includes(slot));
      const object = `${table.schema}.${table.name}`;
      if (deleted > 0) {
        repairs.push({
          kind: 'foreign rows',
          object,
          problem: `${deleted} rows of ${agreed.length} slots are on this shard, which does not own them.`,
          action: 'They are deleted here; their owner has its own.',
          sql: [],
          run: (client) =>
            cleanForeignRows(client, {
              keyspace,
              tables: [table],
              slots: agreed,
              batchRows: BATCH_ROWS,
            }),
        });
      }
      if (kept > 0) {
        repairs.push({
          kind: 'foreign rows',
          object,
          problem: `${kept} rows are on this shard, which the topology does not give them to, and the records of the shards do not confirm that.`,
          action: 'They are left: mend the records first, or decide which rows are the true ones.',
          sql: [],
          run: undefined,
        });
      }
    }
  }
  return repairs;
}

/** Slots of which topology, holder and owner say the same. */
async function agreedSlots(
  server: ShardLink,
  keyspace: string,
  map: KeyspaceTopology,
  slots: readonly number[],
  { shards }: RepairRequest,
): Promise<number[]> {
  const agreed: number[] = [];
  const lost = await slotsBy(lostSlotsSql, server, keyspace, map, slots);
  for (const owner of new Set(lost.map((slot) => map.ownerOf(slot)))) {
    const link = shards.find(({ name }) => name === owner);
    const theirs = lost.filter((slot) => map.ownerOf(slot) === owner);
    if (link !== undefined) {
      agreed.push(...(await slotsBy(heldSlotsSql, link, keyspace, map, theirs)));
    }
  }
  return agreed.sort((a, b) => a - b);
}

async function slotsBy(
  sql: string,
  server: ShardLink,
  keyspace: string,
  map: KeyspaceTopology,
  slots: readonly number[],
): Promise<number[]> {
  const epochs = slots.map((slot) => map.slotEpoch(slot));
  const { rows } = await server.query<{ slot: number }>(sql, [keyspace, slots, epochs]);
  return rows.map(({ slot }) => slot);
}
