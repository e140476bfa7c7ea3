import type { Topology } from '@shardline/testkit';
import { defineConfig } from 'shardline';
import * as v from 'valibot';

/** A table whose rows say how old they are: each change raises `version` by one, in the database itself. */
export const readingsSchema = `
  CREATE TABLE readings (key bigint PRIMARY KEY, version int NOT NULL DEFAULT 1, value text);
  CREATE FUNCTION next_version() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN NEW.version := OLD.version + 1; RETURN NEW; END $$;
  CREATE TRIGGER next_version BEFORE UPDATE ON readings FOR EACH ROW EXECUTE FUNCTION next_version();
`;

/** Where the servers of a test are. */
export interface ReadingServers {
  readonly shards: Readonly<Record<string, { primary: string; replicas: readonly string[] }>>;
  readonly catalog: string;
  readonly redis: string;
  readonly memcached: readonly string[];
  readonly tiers?: readonly ('l1' | 'l2' | 'l3')[];
  readonly relayInterval?: `${number}ms`;
}

export function serversOf(topology: Topology): ReadingServers {
  const shards = topology.shards.map(({ name, primary, replicas }) => [
    name,
    { primary: primary.url, replicas: replicas.map(({ url }) => url) },
  ]);
  return {
    shards: Object.fromEntries(shards),
    catalog: topology.shard(0).primary.url,
    redis: topology.redis.url,
    memcached: topology.memcached.map(({ address }) => address),
  };
}

const Reading = v.object({ key: v.bigint(), version: v.number(), value: v.nullable(v.string()) });

export const signingKeys = [{ id: 'test', secret: 'only-for-tests-0123456789-abcdef' }];

/** A layer over that table, cached in every tier. */
export function configOf(servers: ReadingServers) {
  return defineConfig({
    name: 'readings',
    catalog: servers.catalog,
    shards: servers.shards,
    pool: { max: 6, monitor: { interval: '200ms', panicInterval: '50ms', timeout: '500ms' } },
    keyspaces: { readings: { keyType: 'bigint', slots: 64 } },
    redis: servers.redis,
    memcached: servers.memcached,
    sessions: { signingKeys },
    outbox: { relayInterval: servers.relayInterval ?? '200ms' },
    entities: {
      readings: {
        table: 'readings',
        keyspace: 'readings',
        key: 'key',
        schema: Reading,
        cache: { ttl: '1h', tiers: servers.tiers ?? ['l1', 'l2', 'l3'] },
      },
    },
    namespaces: {
      totals: {
        ttl: '1h',
        load: async (_key: string, { router }) => {
          const [row] = await router
            .scatter<{ version: number }>('SELECT version FROM readings', [], {
              aggregate: { versions: { sum: 'version' } },
            })
            .all();
          return String((row as unknown as { versions: unknown } | undefined)?.versions);
        },
      },
    },
    events: { 'reading.changed': ['totals:*'] },
  });
}
