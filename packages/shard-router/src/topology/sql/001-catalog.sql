-- The catalog: the topology of all keyspaces, the routers that follow it, and what they are asked to hold.
-- Applied once, in one transaction under an advisory lock; later versions are files of their own.

-- Two counters. `epoch` counts topologies; `revision` counts everything that routers must take notice of, so one
-- number tells a router whether there is news, and one number acknowledges it.
CREATE TABLE shardline.topology (
  is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  epoch bigint NOT NULL,
  revision bigint NOT NULL
);
INSERT INTO shardline.topology (epoch, revision) VALUES (0, 0);

CREATE TABLE shardline.shard (
  name text PRIMARY KEY,
  weight double precision NOT NULL CHECK (weight >= 0)
);

CREATE TABLE shardline.keyspace (
  name text PRIMARY KEY,
  key_type text NOT NULL CHECK (key_type IN ('bigint', 'text', 'uuid')),
  hash text NOT NULL CHECK (hash IN ('postgres', 'murmur3')),
  slots integer NOT NULL CHECK (slots BETWEEN 2 AND 65536)
);

-- The map, which is the authority: owner of each slot and the epoch since which it is.
CREATE TABLE shardline.slot (
  keyspace text NOT NULL REFERENCES shardline.keyspace,
  slot integer NOT NULL,
  shard text NOT NULL REFERENCES shardline.shard,
  epoch bigint NOT NULL,
  PRIMARY KEY (keyspace, slot)
);
CREATE INDEX slot_epoch ON shardline.slot (keyspace, epoch);

-- Epoch of the last change that concerned a shard in a keyspace.
CREATE TABLE shardline.shard_epoch (
  keyspace text NOT NULL REFERENCES shardline.keyspace,
  shard text NOT NULL REFERENCES shardline.shard ON DELETE CASCADE,
  epoch bigint NOT NULL,
  PRIMARY KEY (keyspace, shard)
);

-- Slots of which a shard may hold rows that do not count, while a move is under way.
CREATE TABLE shardline.transit (
  keyspace text NOT NULL REFERENCES shardline.keyspace,
  shard text NOT NULL REFERENCES shardline.shard,
  slot integer NOT NULL,
  PRIMARY KEY (keyspace, shard, slot)
);

-- Slots that routers shall hold back for a switch.
CREATE TABLE shardline.hold (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  keyspace text NOT NULL REFERENCES shardline.keyspace,
  slots integer[] NOT NULL,
  revision bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Routers, with the lease under which they may serve unverified and the revision that they have acknowledged:
-- to have acknowledged one is to act by it and to have nothing in flight that was routed before.
CREATE TABLE shardline.router (
  id uuid PRIMARY KEY,
  name text NOT NULL,
  version text NOT NULL,
  revision bigint NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  lease_until timestamptz NOT NULL
);

-- Worker numbers of the id generator: one process each at a time.
CREATE TABLE shardline.worker (
  id integer PRIMARY KEY CHECK (id >= 0),
  holder uuid NOT NULL,
  lease_until timestamptz NOT NULL
);
