import type { FilledRouterOptions } from '../router-options.js';
import type { ColocationScope } from './colocation.js';

/** The declared tables, as a statement over one keyspace sees them. */
export function declaredTables(
  { keyspaces, referenceTables, unsharded }: FilledRouterOptions,
  keyspace: string,
): ColocationScope {
  const others = [...keyspaces].filter(([name]) => name !== keyspace);
  return {
    tables: keyspaces.get(keyspace)?.tables ?? [],
    referenceTables,
    elsewhere: [
      ...others.flatMap(([name, { tables }]) =>
        tables.map((table) => ({
          schema: table.schema,
          name: table.name,
          where: `is in keyspace '${name}', whose keys lie on other shards`,
        })),
      ),
      ...(unsharded?.tables ?? []).map((table) => ({
        ...table,
        where: `is not sharded and lies on shard '${unsharded?.shard}' alone`,
      })),
    ],
  };
}
