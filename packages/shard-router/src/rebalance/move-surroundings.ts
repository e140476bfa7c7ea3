/** What a move needs besides its row: its tables and shards, and how their servers reach each other. */

import { Keyspace } from '../keyspace.js';
import { inForeignKeyOrder } from './foreign-key-order.js';
import type { MoveContext } from './move-context.js';
import type { MoveRow } from './move-row.js';
import type { MoverOptions } from './mover-options.js';
import type { PreflightOptions } from './preflight.js';
import type { FilledRebalancerOptions } from './rebalancer-options.js';
import type { RebalancerServers } from './rebalancer-servers.js';

/** What moves, by name. */
export interface NamedMove {
  readonly keyspace: string;
  readonly source: string;
  readonly destination: string;
  readonly slots: readonly number[];
}

/** A move by its names, as the parts that work on it are given it. */
export async function moveContext(
  servers: RebalancerServers,
  { keyspaces }: Pick<FilledRebalancerOptions, 'keyspaces'>,
  move: NamedMove,
): Promise<MoveContext> {
  const topology = await servers.topology();
  const source = servers.shard(move.source);
  const tables = keyspaces.get(move.keyspace)?.tables ?? [];
  return {
    keyspace: new Keyspace(topology.keyspace(move.keyspace).keyspace),
    tables: await inForeignKeyOrder(source, tables),
    slots: move.slots,
    source,
    destination: servers.shard(move.destination),
  };
}

/** The same of a move in the journal. */
export function contextOfRow(
  servers: RebalancerServers,
  options: Pick<FilledRebalancerOptions, 'keyspaces'>,
  { keyspace, journal, slots }: MoveRow,
): Promise<MoveContext> {
  const { source, destination } = journal;
  return moveContext(servers, options, { keyspace, source, destination, slots });
}

/** What preflight is told of the surroundings. */
export function preflightOptions(
  { shards, referenceTables }: Pick<FilledRebalancerOptions, 'shards' | 'referenceTables'>,
  { source, destination }: Pick<NamedMove, 'source' | 'destination'>,
): PreflightOptions & Pick<MoverOptions, 'peers' | 'referenceTables'> {
  const addressOf = (shard: string) => shards.get(shard)?.peerAddress ?? '';
  return {
    reverse: true,
    peers: { source: addressOf(source), destination: addressOf(destination) },
    referenceTables,
  };
}
