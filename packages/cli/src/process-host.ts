import { createRouter } from '@shardline/shard-router';
import { openRebalancer } from '@shardline/shard-router/rebalance';
import { prepareLayerShard } from 'shardline';
import { EXIT } from './exit-codes.js';
import { type Host, operatorName } from './host.js';

/** The host of a process of its own. */
export function processHost(): Host {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // Whoever read along (`| head`) has seen enough.
      if (error.code === 'EPIPE') process.exit(EXIT.ok);
      throw error;
    });
  }
  return {
    environment: process.env,
    folder: process.cwd(),
    input: process.stdin,
    output: process.stdout,
    errors: process.stderr,
    operator: operatorName(),
    now: () => Date.now(),
    openRebalancer,
    prepareLayerShard,
    openRouter: createRouter,
    onInterrupt(listener) {
      process.on('SIGINT', listener).on('SIGTERM', listener);
      return () => void process.off('SIGINT', listener).off('SIGTERM', listener);
    },
    leave: (exitCode) => process.exit(exitCode),
  };
}
