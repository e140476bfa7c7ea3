/**
 * The beginning and the end of a plan in the catalog.
 *
 * A plan begins in one transaction: its moves are written into the journal if the topology is still the one that it was
 * made from and no shard of it is busy, and a shard that is new joins the map, without slots. So a plan is begun as a
 * whole or not at all, and a second process that applies the same plan finds it begun. It ends with the weights that it
 * promised, and with the shards that it was to remove off the map.
 */

import { randomBytes } from 'node:crypto';
import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { Queryable } from '../shard/queryable.js';
import { applyChange, loadCatalog } from '../topology/catalog.js';
import { parseSlots } from '../topology/slot-set.js';
import type { KeyspaceTopology, Topology } from '../topology/topology.js';
import type { JournalStore } from './journal-store.js';
import { BEGIN, rollBack } from './one-trip.js';
import type { RebalancePlan } from './plan.js';
import { checkSeal } from './seal.js';

const ID_LENGTH = 10;

/** An id of letters and digits, short enough to type and fit for names of objects on servers. */
export function newId(): string {
  const digits = BigInt(`0x${randomBytes(10).toString('hex')}`).toString(36);
  return `m${digits.padStart(ID_LENGTH, '0').slice(-ID_LENGTH)}`;
}

/**
 * Writes a plan's moves into the journal, unless that was done before.
 *
 * @throws ShardlineError `PLAN_INVALID`, `PLAN_STALE`, `SHARD_BUSY`.
 */
export async function beginPlan(
  client: Queryable,
  store: JournalStore,
  plan: RebalancePlan,
  isCutOverHeld: boolean,
): Promise<void> {
  checkSeal(plan);
  await client.query(BEGIN);
  try {
    await client.query('SELECT 1 FROM shardline.topology FOR UPDATE');
    const { rowCount } = await client.query('SELECT 1 FROM shardline.plan WHERE id = $1', [
      plan.id,
    ]);
    if (rowCount === 0) await insertPlan(client, store, plan, isCutOverHeld);
    await client.query('COMMIT');
  } catch (error) {
    await rollBack(client);
    throw error;
  }
}

async function insertPlan(
  client: Queryable,
  store: JournalStore,
  plan: RebalancePlan,
  isCutOverHeld: boolean,
): Promise<void> {
  const topology = await newestTopology(client);
  if (topology.epoch !== plan.fromEpoch) throw staleError(plan, topology.epoch);
  await refuseBusy(client, plan);
  await client.query('INSERT INTO shardline.plan (id, body) VALUES ($1, $2)', [
    plan.id,
    JSON.stringify(plan),
  ]);
  const joining = Object.entries(plan.weights)
    .filter(([name]) => !topology.shards.some((shard) => shard.name === name))
    .map(([name, weight]) => ({ name, weight }));
  if (joining.length > 0) {
    const keyspace = [...topology.keyspaces.keys()][0] as string;
    await applyChange(client, topology, { keyspace, shards: joining });
  }
  for (const [position, move] of plan.moves.entries()) {
    const keyspace = topology.keyspace(move.keyspace);
    const slots = parseSlots(move.slots, keyspace.keyspace.slots);
    await store.insert(client, {
      id: newId(),
      plan: plan.id,
      position,
      keyspace: move.keyspace,
      source: move.source,
      destination: move.destination,
      slots,
      epoch: newestEpoch(keyspace, slots),
      isCutOverHeld,
    });
  }
}

/**
 * Ends a plan whose moves are all done: brings the weights into force and takes removed shards off the map.
 *
 * @param mayRemove whether nothing of the moves is left on the shards.
 */
export async function endPlan(
  client: Queryable,
  plan: RebalancePlan,
  mayRemove: boolean,
): Promise<void> {
  await client.query(BEGIN);
  try {
    await client.query('SELECT 1 FROM shardline.topology FOR UPDATE');
    const topology = await newestTopology(client);
    const shards = topology.shards
      .map(({ name, weight }) => ({ name, weight: plan.weights[name] ?? weight }))
      .filter(({ name, weight }) =>
        topology.shards.some((shard) => shard.name === name && shard.weight !== weight),
      );
    const removeShards = plan.removeShards.filter(
      (name) => mayRemove && topology.shards.some((shard) => shard.name === name),
    );
    if (shards.length > 0 || removeShards.length > 0) {
      const keyspace = [...topology.keyspaces.keys()][0] as string;
      await applyChange(client, topology, { keyspace, shards, removeShards });
    }
    await client.query('COMMIT');
  } catch (error) {
    await rollBack(client);
    throw error;
  }
}

async function newestTopology(client: Queryable): Promise<Topology> {
  const state = await loadCatalog(client);
  if (state !== undefined) return state.topology;
  throw new ShardlineError(routerErrors.CATALOG_MISSING, 'The catalog holds no topology yet.', {
    remedy: 'Publish the first one with `bootstrap`.',
  });
}

async function refuseBusy(client: Queryable, plan: RebalancePlan): Promise<void> {
  const shards = [
    ...new Set(plan.moves.flatMap(({ source, destination }) => [source, destination])),
  ];
  const { rows } = await client.query<{ id: string; source: string; destination: string }>(
    `SELECT id, source, destination FROM shardline.move
     WHERE tidied_at IS NULL AND (source = ANY ($1) OR destination = ANY ($1)) ORDER BY created_at, position`,
    [shards],
  );
  if (rows.length === 0) return;
  const named = rows.map(({ id, source, destination }) => `'${id}' (${source} to ${destination})`);
  throw new ShardlineError(
    routerErrors.SHARD_BUSY,
    `Shards of the plan take part in moves that are not over: ${named.join(', ')}.`,
    { details: { moves: rows.map(({ id }) => id) } },
  );
}

function newestEpoch(keyspace: KeyspaceTopology, slots: readonly number[]): number {
  return Math.max(0, ...slots.map((slot) => keyspace.slotEpoch(slot)));
}

function staleError(plan: RebalancePlan, epoch: number): ShardlineError {
  return new ShardlineError(
    routerErrors.PLAN_STALE,
    `Plan '${plan.id}' was made at epoch ${plan.fromEpoch}; the topology is at epoch ${epoch}.`,
    { details: { plan: plan.id, planEpoch: plan.fromEpoch, epoch } },
  );
}
