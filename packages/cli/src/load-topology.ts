import { ShardlineError } from '@shardline/core';
import {
  checkCatalog,
  loadCatalog,
  routerErrors,
  type ShardLocation,
  type Topology,
} from '@shardline/shard-router';
import pg from 'pg';

/** A server that takes longer than this to greet is not there. */
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Reads the newest topology over one connection. Unlike a router it registers nowhere, so no switch waits for it.
 *
 * @throws ShardlineError `CATALOG_MISSING`, `CATALOG_TOO_NEW`.
 */
export async function loadTopology(catalog: ShardLocation): Promise<Topology> {
  const { primary, application_name } = catalog as { primary: string; application_name?: string };
  const client = new pg.Client({
    connectionString: primary,
    application_name,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  // Told by the statement that meets it; without a listener it would end the process.
  client.on('error', () => {});
  await client.connect();
  try {
    await checkCatalog(client as never);
    const state = await loadCatalog(client as never);
    if (state !== undefined) return state.topology;
  } finally {
    await client.end();
  }
  throw new ShardlineError(routerErrors.CATALOG_MISSING, 'The catalog holds no topology yet.', {
    remedy: 'Publish the first one with `shardline init --apply`.',
  });
}
