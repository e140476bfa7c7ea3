import { EXIT } from './exit-codes.js';
import { type Host, operatorName } from './host.js';

/** The host of a process of its own. The libraries are loaded by whatever needs them: `--help` does not. */
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
    openRebalancer: async (options) =>
      (await import('@shardline/shard-router/rebalance')).openRebalancer(options),
    prepareLayerShard: async (config, shard) =>
      (await import('shardline')).prepareLayerShard(config, shard),
    openRouter: async (options) => (await import('@shardline/shard-router')).createRouter(options),
    onInterrupt(listener) {
      process.on('SIGINT', listener).on('SIGTERM', listener);
      return () => void process.off('SIGINT', listener).off('SIGTERM', listener);
    },
    leave: (exitCode) => process.exit(exitCode),
  };
}
