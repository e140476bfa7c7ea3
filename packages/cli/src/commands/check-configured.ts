import { nearestName, ShardlineError } from '@shardline/core';
import { cliErrors } from '../errors.js';
import type { Session } from '../session.js';

/**
 * Shards that are to receive something must be in the configuration: services that do not know them could not follow.
 *
 * @throws ShardlineError `CLI_SHARD_UNKNOWN`.
 */
export async function checkConfigured(session: Session, names: readonly string[]): Promise<void> {
  const { config, path } = await session.configuration();
  const known = Object.keys(config.shards ?? {});
  for (const name of names) {
    if (known.includes(name)) continue;
    const nearest = nearestName(name, known);
    throw new ShardlineError(
      cliErrors.CLI_SHARD_UNKNOWN,
      `There is no shard '${name}' in ${path}; there are ${known.join(', ')}.${
        nearest === undefined ? '' : ` Did you mean '${nearest}'?`
      }`,
    );
  }
}
