import { createDataLayer, defineConfig, initialiseShards } from 'shardline';
import * as v from 'valibot';
import schema from './schema.sql';

/** Where the servers of one deployment are. */
export interface BettingServers {
  /** The database that says which shard owns what. */
  readonly catalog: string;
  /** Shards by name: a primary and its replicas, as PostgreSQL URLs. */
  readonly shards: Readonly<Record<string, { primary: string; replicas: readonly string[] }>>;
  readonly redis: string;
  readonly memcached: readonly string[];
}

const User = v.object({
  user_id: v.bigint(),
  name: v.string(),
  tier: v.picklist(['premium', 'standard', 'free', 'suspicious']),
  balance: v.bigint(),
  updated_at: v.date(),
});

const Bet = v.object({
  creator_id: v.bigint(),
  bet_id: v.string(),
  event_id: v.bigint(),
  stake: v.bigint(),
  placed_at: v.date(),
});

/** How many requests a user of each tier may make. */
export const LIMITS = {
  premium: { limit: 10_000, per: '1m' },
  standard: { limit: 1000, per: '1m' },
  free: { limit: 100, per: '1m' },
  suspicious: { limit: 10, per: '1m' },
} as const;

/** What is stored where, cached how long, limited how. */
function configOf(servers: BettingServers) {
  return defineConfig({
    name: 'betting',
    catalog: servers.catalog,
    shards: servers.shards,
    // Users and everything that belongs to one user share a key, and so a shard.
    keyspaces: { users: { keyType: 'bigint' } },
    redis: servers.redis,
    memcached: servers.memcached,
    entities: {
      users: {
        table: 'users',
        keyspace: 'users',
        key: 'user_id',
        schema: User,
        cache: { ttl: '1h', tiers: ['l1', 'l2', 'l3'] },
      },
      bets: { table: 'bets', keyspace: 'users', key: 'creator_id', id: 'bet_id', schema: Bet },
    },
    limits: { tiers: LIMITS },
  });
}

/** Prepares new shards, once: the first map of slots, each shard's record, and the tables. */
export async function initialiseBetting(servers: BettingServers): Promise<void> {
  await initialiseShards(configOf(servers));
  await using layer = await openBettingLayer(servers);
  await layer.router.everywhere(schema, [], { id: 'betting-1' });
}

/** The data layer of the betting service. */
export function openBettingLayer(servers: BettingServers) {
  return createDataLayer(configOf(servers));
}

/** The layer as the service sees it. */
export type BettingLayer = Awaited<ReturnType<typeof openBettingLayer>>;
