import type { Clock } from '@shardline/core';
import type { Connection } from './connection.js';

/** An empty statement: the cheapest thing that a server, or a pooler, must answer. */
export function answers(
  connection: Connection,
  { clock, timeoutMs }: { readonly clock: Clock; readonly timeoutMs: number },
): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.schedule(timeoutMs, () => {
      connection.destroy();
      resolve(false);
    });
    connection.client.query('', (error: Error | null) => {
      timer.cancel();
      resolve(error === null || error === undefined);
    });
  });
}
