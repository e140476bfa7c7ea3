import { waitUntil } from '../server/wait-until.js';
import type { PostgresServer } from './postgres-server.js';

/**
 * The replicas of a primary that is dead, by how much of its log they have received, the furthest
 * first. That one is to be promoted, as a failover manager would: one that has received a record more
 * than the new primary has another history, and cannot follow it.
 */
export async function furthestFirst(
  replicas: readonly PostgresServer[],
): Promise<readonly PostgresServer[]> {
  const received = await Promise.all(
    replicas.map(async (replica) => ({ replica, bytes: await finalPosition(replica) })),
  );
  return received
    .sort((a, b) => (a.bytes === b.bytes ? 0 : a.bytes < b.bytes ? 1 : -1))
    .map(({ replica }) => replica);
}

/** What the dead primary had sent may still lie in the socket: it counts once the receiver has ended. */
async function finalPosition(replica: PostgresServer): Promise<bigint> {
  await waitUntil(
    async () => {
      const { rowCount } = await replica.query(
        "SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'",
      );
      return rowCount === 0;
    },
    { what: `${replica.name} to have read the last of its dead primary` },
  );
  const { rows } = await replica.query<{ bytes: string }>(
    "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')::text AS bytes",
  );
  return BigInt(rows[0]?.bytes ?? 0);
}
