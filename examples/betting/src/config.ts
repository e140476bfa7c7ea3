import { defineConfig } from 'shardline';
import {
  readFriends,
  readHouseRules,
  readLeaderboard,
  readNotifications,
  readProfile,
  readRecentBets,
} from './cached-queries.js';
import { Bet, LedgerEntry, LiveEvent, Preferences, User } from './rows.js';
import type { BettingServers } from './servers.js';

/** How many requests a user of each tier may make. */
export const LIMITS = {
  premium: { limit: 10_000, per: '1m' },
  standard: { limit: 1000, per: '1m' },
  free: { limit: 100, per: '1m' },
  suspicious: { limit: 10, per: '1m' },
} as const;

/** What is stored where, cached how long, made stale by what, limited how. */
export function bettingConfig(servers: BettingServers) {
  return defineConfig({
    name: 'betting',
    catalog: servers.catalog,
    shards: servers.shards,
    keyspaces: {
      // Users and everything that belongs to one user share a key, and so a shard.
      users: { keyType: 'bigint' },
      // Live events are read by everybody: another rhythm, slots of their own.
      events: { keyType: 'bigint', slots: 256 },
    },
    redis: servers.redis,
    memcached: servers.memcached,
    pool: { statementTimeout: '5s', acquireTimeout: '5s', failoverTimeout: '20s' },
    sessions: { signingKeys: [{ id: 'k1', secret: servers.sessionSecret }] },

    entities: {
      users: {
        table: 'users',
        keyspace: 'users',
        key: 'user_id',
        schema: User,
        cache: { ttl: '1h', tiers: ['l1', 'l2', 'l3'], staleIfError: '1d', negativeTtl: '1m' },
        invalidates: ['userProfiles:{user_id}'],
      },
      preferences: {
        table: 'preferences',
        keyspace: 'users',
        key: 'user_id',
        schema: Preferences,
        cache: { ttl: '1d' },
      },
      bets: { table: 'bets', keyspace: 'users', key: 'creator_id', id: 'bet_id', schema: Bet },
      // Money is never read from a cache.
      transactions: {
        table: 'transactions',
        keyspace: 'users',
        key: 'user_id',
        id: 'entry_id',
        schema: LedgerEntry,
      },
      friendships: { table: 'friendships', keyspace: 'users', key: 'user_id', id: 'friend_id' },
      inbox: { table: 'notifications', keyspace: 'users', key: 'user_id', id: 'notification_id' },
      liveEvents: {
        table: 'live_events',
        keyspace: 'events',
        key: 'event_id',
        schema: LiveEvent,
        cache: { ttl: '30s', bound: '500ms' },
      },
    },

    namespaces: {
      leaderboards: {
        ttl: '5m',
        staleWhileRevalidate: '1m',
        eagerRefresh: true,
        load: readLeaderboard,
      },
      // Hot ones are remembered by hour of the week, and read ahead of it.
      userProfiles: { ttl: '1h', negativeTtl: '1m', hotKeys: 500, load: readProfile },
      recentBets: { ttl: '2m', load: readRecentBets },
      friends: { ttl: '6h', load: readFriends },
      notifications: { ttl: '1m', load: readNotifications },
      houseRules: { ttl: '7d', load: readHouseRules },
    },

    // Named after what happened. What follows from it stands here, and nowhere else.
    events: {
      'user.profile.updated': ['userProfiles:{userId}', 'leaderboards:*'],
      'bet.placed': ['recentBets:{userId}', 'userProfiles:{userId}'],
      'day.settled': ['leaderboards:*'],
      // Whoever logs in looks at these next: they are read before he asks.
      userLogin: {
        warms: ['userProfiles:{userId}', 'friends:{userId}', 'notifications:{userId}'],
      },
    },

    // What no event tells of. One process of all sees to it.
    schedules: {
      leaderboardsAnewAtNight: { cron: '0 4 * * *', invalidate: ['leaderboards:*'] },
      houseRulesOnMondays: { cron: '0 6 * * MON', invalidate: ['houseRules:*'] },
    },
    // Reading ahead may cost the shards this much, and stops when they grow slow.
    warming: { peakHoursAhead: '10m', loadsPerSecond: 50, maxLoadP99: '250ms' },

    limits: { tiers: LIMITS },
  });
}
