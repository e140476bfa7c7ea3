import type { Clock } from '@shardline/core';
import { poolError } from '../errors.js';
import type { Connection } from './connection.js';

/**
 * Ends the connection of a holder who leaves a transaction open and says nothing, where no server does it: a pooler in
 * transaction mode refuses the server's own timeout as a startup parameter, and holds a server connection and
 * its locks for as long as the transaction stays open. The pooler rolls back when its client is gone.
 */
export function endIdleTransactions(
  connection: Connection,
  { timeoutMs, clock }: { readonly timeoutMs: number; readonly clock: Clock },
): void {
  const { client } = connection;
  let timer: ReturnType<Clock['schedule']> | undefined;
  const onTime = () => {
    // A statement that began in the meantime ends with another word of readiness, from which it counts anew.
    if (!connection.isAlive || !connection.isQuiet || !connection.isInTransaction) return;
    connection.destroy(
      poolError('POOL_TRANSACTION_IDLE', `A transaction idled for ${timeoutMs} ms.`, {
        details: { node: connection.node, timeoutMs },
      }),
    );
  };
  client.connection?.on('readyForQuery', () => {
    timer?.cancel();
    timer = connection.isInTransaction ? clock.schedule(timeoutMs, onTime) : undefined;
  });
  client.on('end', () => timer?.cancel());
}
