-- The tables of the betting service, the same on every shard. Each carries the key that it is sharded by. Tables of
-- the keyspace `users` hold what belongs to one user: all of it is on one shard, so that one transaction
-- takes the stake from the balance, writes the ledger and places the bet.

CREATE TABLE users (
  user_id    bigint PRIMARY KEY,
  name       text NOT NULL,
  tier       text NOT NULL CHECK (tier IN ('premium', 'standard', 'free', 'suspicious')),
  balance    bigint NOT NULL CHECK (balance >= 0),
  updated_at timestamptz NOT NULL DEFAULT now()
);
-- The leaderboard reads the top of it on every shard.
CREATE INDEX users_by_balance ON users (balance DESC, user_id);

CREATE TABLE preferences (
  user_id  bigint PRIMARY KEY,
  odds     text NOT NULL DEFAULT 'decimal',
  language text NOT NULL DEFAULT 'en'
);

CREATE TABLE friendships (
  user_id   bigint NOT NULL,
  friend_id bigint NOT NULL,
  PRIMARY KEY (user_id, friend_id)
);

CREATE TABLE notifications (
  user_id         bigint NOT NULL,
  notification_id uuid NOT NULL DEFAULT gen_random_uuid(),
  message         text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (user_id, notification_id)
);

-- The caller makes bet_id: a bet that is sent twice, since nobody knows what became of the first, is placed once.
CREATE TABLE bets (
  creator_id bigint NOT NULL,
  bet_id     uuid NOT NULL,
  event_id   bigint NOT NULL,
  stake      bigint NOT NULL CHECK (stake > 0),
  placed_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (creator_id, bet_id)
);

-- The ledger: every change of a balance, never changed itself.
CREATE TABLE transactions (
  user_id    bigint NOT NULL,
  entry_id   uuid NOT NULL DEFAULT gen_random_uuid(),
  bet_id     uuid,
  amount     bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (user_id, entry_id)
);

-- Keyspace `events`: read by everybody, at another rhythm, on servers of their own.
CREATE TABLE live_events (
  event_id bigint PRIMARY KEY,
  title    text NOT NULL,
  home     integer NOT NULL DEFAULT 0,
  away     integer NOT NULL DEFAULT 0
);
