/**
 * What stands on servers that replication may leave behind: the first half of "nothing is left" (P7); `checkInventory`
 * compares two of them.
 *
 * Every question to a server goes over one connection: asked one by one, the dials cost more than the answers.
 */

import type { Client } from 'pg';
import type { Inventory } from '../check/inventory.js';
import type { PostgresServer } from './postgres-server.js';

const KINDS: Readonly<Record<string, string>> = {
  slots: 'SELECT slot_name AS name FROM pg_replication_slots',
  publications: 'SELECT pubname AS name FROM pg_publication',
  subscriptions: 'SELECT subname AS name FROM pg_subscription',
  origins: 'SELECT roname AS name FROM pg_replication_origin',
  roles: `SELECT rolname AS name FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'`,
  prepared: 'SELECT gid AS name FROM pg_prepared_xacts',
  locks: `SELECT 'advisory' AS name FROM pg_locks WHERE locktype = 'advisory'`,
  identities: `SELECT relname AS name FROM pg_class WHERE relreplident IN ('f', 'n') AND relkind IN ('r', 'p')
    AND relnamespace = 'public'::regnamespace`,
  triggers: 'SELECT tgname AS name FROM pg_trigger WHERE NOT tgisinternal',
  sessions: `SELECT application_name AS name FROM pg_stat_activity
    WHERE backend_type IN ('walsender', 'logical replication worker')`,
};

const UNDEFINED_TABLE = '42P01';

/**
 * Takes the names of everything on servers that replication makes: slots, publications, subscriptions, origins, roles,
 * prepared transactions, advisory locks, replica identities, triggers and sessions of replication, each as `server: name`.
 *
 * @param more further kinds: a statement for each that gives a column `name`. A server that has not its tables has none.
 *
 * @example
 * ```ts
 * import { startPostgres, takeInventory } from '@shardline/testkit';
 * import { checkInventory } from '@shardline/testkit/check';
 *
 * await using server = await startPostgres();
 * const before = await takeInventory([server]);
 * await server.query('CREATE PUBLICATION bets FOR ALL TABLES');
 * checkInventory(before, await takeInventory([server])).violations[0]?.rule; // 'left-behind'
 * ```
 */
export async function takeInventory(
  servers: readonly PostgresServer[],
  more: Readonly<Record<string, string>> = {},
): Promise<Inventory> {
  const kinds = { ...KINDS, ...more };
  const found: Record<string, string[]> = Object.fromEntries(
    Object.keys(kinds).map((kind) => [kind, []]),
  );
  for (const server of servers) {
    await server.withClient(async (client) => {
      for (const [kind, sql] of Object.entries(kinds)) {
        const names = await namesOf(client, sql, kind in more);
        found[kind]?.push(...names.map((name) => `${server.name}: ${name}`));
      }
    });
  }
  return found;
}

async function namesOf(client: Client, sql: string, mayLackTable: boolean): Promise<string[]> {
  try {
    const { rows } = await client.query<{ name: string }>(sql);
    return rows.map(({ name }) => name);
  } catch (error) {
    if (mayLackTable && (error as { code?: string }).code === UNDEFINED_TABLE) return [];
    throw error;
  }
}
