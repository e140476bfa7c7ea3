-- The tables of the betting service, the same on every shard. Each carries the key that it is sharded
-- by, and rows of one user live together: a user's bets are on the user's shard.

CREATE TABLE users (
  user_id    bigint PRIMARY KEY,
  name       text NOT NULL,
  tier       text NOT NULL CHECK (tier IN ('premium', 'standard', 'free', 'suspicious')),
  balance    bigint NOT NULL CHECK (balance >= 0),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE bets (
  creator_id bigint NOT NULL,
  bet_id     uuid NOT NULL DEFAULT gen_random_uuid(),
  event_id   bigint NOT NULL,
  stake      bigint NOT NULL CHECK (stake > 0),
  placed_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (creator_id, bet_id)
);
