import type { Duration } from '@shardline/core';

/** How long and until when to wait. */
export interface RedisWait {
  /** @default '45s' */
  readonly within?: Duration;
  readonly signal?: AbortSignal;
}

/** Many times what a failover takes, and less than a test usually has. */
export const WAIT_WITHIN: Duration = '45s';
