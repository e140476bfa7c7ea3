import { poolError } from './errors.js';
import type { Connection } from './node/connection.js';
import type { NodePool } from './node/node-pool.js';

/**
 * Gives a lent connection back, once; a second time is a fault of the caller and says so.
 *
 * @param before done first: afterwards the connection may be somebody else's.
 */
export function releaseOnce(pool: NodePool, connection: Connection, before: () => void) {
  let isReleased = false;
  return (error?: Error | boolean): void => {
    if (isReleased) throw releasedTwice();
    isReleased = true;
    before();
    pool.release(connection, error);
  };
}

export function releasedTwice(): Error {
  return poolError(
    'POOL_RELEASED_TWICE',
    'Release called on client which has already been released to the pool.',
  );
}
