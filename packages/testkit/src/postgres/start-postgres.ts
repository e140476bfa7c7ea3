import { checkOptions } from '@shardline/core';
import { chooseBackend } from '../server/choose-backend.js';
import { startOnFreePort } from '../server/free-port.js';
import { type PostgresOptions, postgresOptionsSchema } from './postgres-options.js';
import { PostgresServer } from './postgres-server.js';
import {
  freshCluster,
  type PostgresDescription,
  postgresSpec,
  strangerCluster,
} from './postgres-spec.js';

/**
 * Starts a PostgreSQL primary with `wal_level=logical` and room for many slots and connections, on
 * loopback, and gives it when it answers.
 *
 * @throws ShardlineError `CONFIG_INVALID`, `TESTKIT_BINARY_MISSING`, `TESTKIT_NOT_READY` with the end
 * of its log, `TESTKIT_NO_DISK`. Nothing is left of a start that failed.
 *
 * @example
 * ```ts
 * import { startPostgres } from '@shardline/testkit';
 *
 * await using postgres = await startPostgres({ settings: { max_connections: 50 } });
 * const { rows } = await postgres.query('SELECT version()');
 * ```
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const checked = checkOptions(postgresOptionsSchema, options, 'startPostgres');
  const { name, database, signal } = checked;
  const description: PostgresDescription = {
    version: checked.version,
    settings: checked.settings,
    durable: checked.durable,
    authentication: checked.authentication,
  };
  const backend = await chooseBackend(
    'postgres',
    checked.version === undefined ? {} : { version: checked.version },
  );
  let data = '';
  const onPlaced = (folder: string) => {
    data = folder;
  };
  const origin = checked.ownIdentity ? strangerCluster : freshCluster;
  const server = await startOnFreePort((port) =>
    backend.start(postgresSpec({ name, port, description, origin, signal, onPlaced })),
  );
  const postgres = new PostgresServer({
    server,
    backend,
    description,
    database,
    dataFolder: () => data,
  });
  try {
    if (database !== 'postgres') await postgres.createDatabase(database);
  } catch (error) {
    await postgres.stop();
    throw error;
  }
  return postgres;
}
