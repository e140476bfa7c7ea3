import type { Clock } from '@shardline/core';
import { type Connection, whenQuiet } from './connection.js';

/**
 * What happens to a connection that was given back before the server was done with it.
 *
 * First everything owed is awaited: a reply cut short would be read as the answer to the next
 * question. Then a transaction that was left open is rolled back; its holder is gone, and its locks
 * must not outlive it (drivers and object mappers release in a `finally`, after a ROLLBACK that may
 * itself have failed). Both together have one deadline. Whatever does not end well is closed.
 */
export interface SettleOptions {
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Told when a transaction was found open. */
  readonly onLeftOpen: () => void;
}

/** Calls back once, with whether the connection is fit to be used again. */
export function settle(
  connection: Connection,
  options: SettleOptions,
  callback: (isFit: boolean) => void,
): void {
  let hasRolledBack = false;
  let stopListening = () => {};
  let isDone = false;
  const finish = (isFit: boolean) => {
    if (isDone) return;
    isDone = true;
    timer.cancel();
    stopListening();
    callback(isFit);
  };
  const timer = options.clock.schedule(options.timeoutMs, () => finish(false));
  const look = () => {
    if (isDone) return;
    if (!connection.isAlive) return finish(false);
    if (!connection.isQuiet) {
      stopListening = whenQuiet(connection, look);
      return;
    }
    if (!connection.isInTransaction) return finish(true);
    if (hasRolledBack) return finish(false);
    hasRolledBack = true;
    options.onLeftOpen();
    // The answer, good or bad, shows in the transaction status once the connection is quiet.
    connection.client.query('ROLLBACK', () => setImmediate(look));
  };
  look();
}
