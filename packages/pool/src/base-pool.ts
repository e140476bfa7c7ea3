import pg from 'pg';
import type { QueryOptions } from './options.js';

/** Called by `connect` with a client, as `pg` does. */
export type ConnectCallback = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  done: (release?: Error | boolean) => void,
) => void;

/** A query that says for itself where it runs, or that can be given up. */
export type RoutedQueryConfig<Values = unknown[]> = pg.QueryConfig<Values> & QueryOptions;

/** What of `pg.Pool` stays as it is: events, `options`, `Client`. */
export type BasePool = Omit<
  pg.Pool,
  'query' | 'connect' | 'end' | 'totalCount' | 'idleCount' | 'waitingCount' | 'expiredCount'
>;
export const BasePool = pg.Pool as unknown as new (options: object) => BasePool;

/** Addresses carry passwords, and pools get printed. */
export function hideSecrets(options: object): void {
  for (const name of ['primary', 'replicas', 'sessions', 'connectionString', 'password']) {
    if (!(name in options)) continue;
    Object.defineProperty(options, name, { enumerable: false });
  }
}
