import type pg from 'pg';
import type { ReplicaPoolOptions } from './options.js';

/** What is done with a new connection before anyone gets it: the user's `onConnect`, then `verify`. */
export function preparation({ onConnect, verify }: ReplicaPoolOptions) {
  return async (client: pg.Client): Promise<void> => {
    await onConnect?.(client);
    if (verify === undefined) return;
    await new Promise<void>((resolve, reject) => {
      verify(client as pg.PoolClient, (error?: Error) => (error ? reject(error) : resolve()));
    });
  };
}
