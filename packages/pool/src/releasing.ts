import { poolError } from './errors.js';
import type { Connection } from './node/connection.js';
import type { NodePool } from './node/node-pool.js';

/** Gives a lent connection back, once; a second time is a fault of the caller and says so. */
export function releaseOnce(pool: NodePool, connection: Connection) {
  let isReleased = false;
  return (error?: Error | boolean): void => {
    if (isReleased) throw releasedTwice();
    isReleased = true;
    pool.release(connection, error);
  };
}

export function releasedTwice(): Error {
  return poolError(
    'POOL_RELEASED_TWICE',
    'Release called on client which has already been released to the pool.',
  );
}
