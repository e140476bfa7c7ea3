import type { EventEmitter } from 'node:events';
import type pg from 'pg';
import type { PoolEvents } from './cluster.js';
import { asPgClient, type Connection } from './node/connection.js';

/** What the event `leak` tells: who has held a connection for longer than `leakReportAfter`. */
export interface LeakReport {
  readonly node: string;
  readonly heldMs: number;
  /** Where it was acquired. */
  readonly stack: string;
  readonly client: pg.PoolClient;
}

/** The events of `pg.Pool`, and `leak`, as the connections to one server cause them. */
export function poolEvents(pool: EventEmitter, node: string): PoolEvents {
  const clientOf = ({ client }: Connection) => asPgClient(client);
  return {
    connected: (connection) => pool.emit('connect', clientOf(connection)),
    acquired: (connection) => pool.emit('acquire', clientOf(connection)),
    released: (error, connection) => pool.emit('release', error as Error, clientOf(connection)),
    removed: (connection) => pool.emit('remove', clientOf(connection)),
    broke: (error, connection, wasIdle) => {
      // Without a listener an event called `error` ends the process; a broken idle connection is no
      // reason for that, since the pool has replaced it already.
      if (wasIdle && pool.listenerCount('error') > 0) {
        pool.emit('error', error, clientOf(connection));
      }
    },
    leaked: (connection, heldMs) => {
      const stack = connection.heldBy?.stack ?? '';
      const report: LeakReport = { node, heldMs, stack, client: clientOf(connection) };
      pool.emit('leak', report);
    },
  };
}
