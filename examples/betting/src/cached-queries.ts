import type { NamespaceLoadContext } from 'shardline';

/**
 * What is cached beside rows: a list, a total, anything with a key. Each is one query; how long it may live and
 * what makes it stale stands in `config.ts`.
 */

/** The richest users over all shards; each shard gives its first hundred, and they are merged by balance. */
export function readLeaderboard(_board: string, { router }: NamespaceLoadContext) {
  return router
    .keyspace('users')
    .scatter<{ user_id: bigint; name: string; balance: bigint }>(
      'SELECT user_id, name, balance FROM users',
      [],
      { orderBy: [{ column: 'balance', direction: 'desc' }, 'user_id'], limit: 100 },
    )
    .all();
}

/** A user's page: who he is, and how he bets. One shard has all of it. */
export async function readProfile(userId: string, { router }: NamespaceLoadContext) {
  const { rows } = await router
    .keyspace('users')
    .query<{ name: string; tier: string; bets: bigint; staked: bigint }>(
      userId,
      `SELECT name, tier, count(bet_id) AS bets, coalesce(sum(stake), 0)::bigint AS staked
       FROM users LEFT JOIN bets ON creator_id = user_id WHERE user_id = $1 GROUP BY user_id`,
      [userId],
    );
  return rows[0];
}

/** A user's newest bets. */
export async function readRecentBets(userId: string, { router }: NamespaceLoadContext) {
  const { rows } = await router
    .keyspace('users')
    .query<{ bet_id: string; event_id: bigint; stake: bigint }>(
      userId,
      'SELECT bet_id, event_id, stake FROM bets WHERE creator_id = $1 ORDER BY placed_at DESC LIMIT 20',
      [userId],
    );
  return rows;
}

/** Whom a user knows. */
export async function readFriends(userId: string, { router }: NamespaceLoadContext) {
  const { rows } = await router
    .keyspace('users')
    .query<{ friend_id: bigint }>(
      userId,
      'SELECT friend_id FROM friendships WHERE user_id = $1 ORDER BY friend_id',
      [userId],
    );
  return rows.map(({ friend_id }) => friend_id);
}

/** What a user has not dismissed yet. */
export async function readNotifications(userId: string, { router }: NamespaceLoadContext) {
  const { rows } = await router
    .keyspace('users')
    .query<{ notification_id: string; message: string }>(
      userId,
      'SELECT notification_id, message FROM notifications WHERE user_id = $1 ORDER BY created_at DESC LIMIT 50',
      [userId],
    );
  return rows;
}

/** Rules of the house: seldom changed, the same for everybody. */
export function readHouseRules(language: string) {
  return { language, text: `Bets are final. (${language})` };
}
