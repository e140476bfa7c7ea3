-- The journal of moves: plans, the moves they are made of, and what has happened to each.
-- Applied once, in one transaction under an advisory lock; later versions are files of their own.

-- Generations come from here, for all moves: whoever changes a move takes a new one, and shards refuse older ones.
CREATE SEQUENCE shardline.generation;

CREATE TABLE shardline.plan (
  id text PRIMARY KEY,
  body jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row per move. State, generation, holder and epoch change by compare-and-set only.
CREATE TABLE shardline.move (
  id text PRIMARY KEY,
  plan text NOT NULL REFERENCES shardline.plan,
  position integer NOT NULL,
  keyspace text NOT NULL REFERENCES shardline.keyspace,
  source text NOT NULL,
  destination text NOT NULL,
  slots integer[] NOT NULL,
  state text NOT NULL,
  generation bigint NOT NULL,
  -- Token and name of the process that runs it, and until when it keeps the move to itself.
  holder text NOT NULL,
  holder_name text NOT NULL,
  lease_until timestamptz NOT NULL,
  epoch bigint NOT NULL,
  -- Revision that routers must have acknowledged: that of the newest hold, switch or release.
  revision bigint NOT NULL DEFAULT 0,
  -- Whether the topology says that the slots are in transit because of this move.
  is_in_transit boolean NOT NULL DEFAULT false,
  -- What operators ask for.
  is_paused boolean NOT NULL DEFAULT false,
  is_cut_over_held boolean NOT NULL DEFAULT false,
  bytes_per_second bigint CHECK (bytes_per_second > 0),
  wish text CHECK (wish IN ('abort', 'roll-back', 'finish')),
  -- What is told of it; nothing is decided by these.
  progress jsonb,
  waiting_for text,
  last_error text,
  pause_ms double precision,
  verified_at timestamptz,
  rollback_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  state_since timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Set when it has ended and nothing of it is left on the shards.
  tidied_at timestamptz,
  UNIQUE (plan, position)
);
CREATE INDEX move_open ON shardline.move (created_at) WHERE tidied_at IS NULL;

-- What has happened, for people.
CREATE TABLE shardline.move_event (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  move text NOT NULL REFERENCES shardline.move,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  kind text NOT NULL,
  state text NOT NULL,
  generation bigint NOT NULL,
  holder_name text NOT NULL,
  detail text
);
CREATE INDEX move_event_by_move ON shardline.move_event (move, id);

-- Which move holds slots back: a move has one hold at most.
ALTER TABLE shardline.hold ADD COLUMN move text UNIQUE REFERENCES shardline.move;
