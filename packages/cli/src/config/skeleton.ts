/** The configuration that `init` writes (pure). It loads as it stands; only its servers are not there. */

const COMMENTED = (name: string) => `import { defineConfig } from 'shardline';

/**
 * The data layer of this service: imported by the service, read by the command \`shardline\`.
 *
 * Secrets stay in the environment: \`\${NAME}\` within a text and 'env:NAME' as a whole one are replaced.
 */
export default defineConfig({
  name: ${quote(name)},

  // Who owns which slot, and how that changes. A small database of its own, or a schema in any other.
  catalog: 'postgres://app:\${DATABASE_PASSWORD}@127.0.0.1:5432/catalog',

  shards: {
    'users-1': { primary: 'postgres://app:\${DATABASE_PASSWORD}@127.0.0.1:5432/users_1' },
    'users-2': { primary: 'postgres://app:\${DATABASE_PASSWORD}@127.0.0.1:5432/users_2' },
  },

  // Tables that share a key type, and so a shard for each key. The number of slots stays what it is for ever.
  keyspaces: { users: { keyType: 'bigint', slots: 4096 } },

  entities: {
    users: { table: 'users', keyspace: 'users', key: 'user_id' },
  },

  // What the command line needs beyond what services need: roles that own the tables and may replicate.
  administration: {
    catalog: 'postgres://owner:\${OWNER_PASSWORD}@127.0.0.1:5432/catalog',
    shards: {
      'users-1': { primary: 'postgres://owner:\${OWNER_PASSWORD}@127.0.0.1:5432/users_1' },
      'users-2': { primary: 'postgres://owner:\${OWNER_PASSWORD}@127.0.0.1:5432/users_2' },
    },
    limits: { rollbackWindow: '1h' },
  },
});
`;

/** The text of a configuration file to begin with. */
export function skeleton(kind: 'ts' | 'mjs' | 'json', name: string): string {
  return kind === 'json' ? `${JSON.stringify(asData(name), undefined, 2)}\n` : COMMENTED(name);
}

function asData(name: string): object {
  const url = (user: string, variable: string, database: string) =>
    `postgres://${user}:\${${variable}}@127.0.0.1:5432/${database}`;
  const service = (database: string) => url('app', 'DATABASE_PASSWORD', database);
  const owner = (database: string) => url('owner', 'OWNER_PASSWORD', database);
  return {
    $schema: './node_modules/@shardline/cli/schema/configuration.json',
    name,
    catalog: service('catalog'),
    shards: {
      'users-1': { primary: service('users_1') },
      'users-2': { primary: service('users_2') },
    },
    keyspaces: { users: { keyType: 'bigint', slots: 4096 } },
    entities: { users: { table: 'users', keyspace: 'users', key: 'user_id' } },
    administration: {
      catalog: owner('catalog'),
      shards: {
        'users-1': { primary: owner('users_1') },
        'users-2': { primary: owner('users_2') },
      },
      limits: { rollbackWindow: '1h' },
    },
  };
}

function quote(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
