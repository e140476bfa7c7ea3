-- The outbox of a shard: invalidations that ride the transaction which makes them necessary.
--
-- A row is there if and only if the change is. Whoever wrote it deletes it once every tier of the cache has
-- acknowledged; what a process has left behind when it died, any other carries out (see relay.ts). Roles
-- that may write the tables of a shard may be of any name, so everybody may write here; it grants nothing but
-- to make cached things stale.
--
-- Safe to repeat. No parameters.

-- Two who make the same table at once would fail on the catalogues' own keys. One transaction, so one lock.
SELECT pg_advisory_xact_lock(hashtextextended('shardline.outbox', 0));

CREATE SCHEMA IF NOT EXISTS shardline;

CREATE TABLE IF NOT EXISTS shardline.outbox (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- The name of the data layer whose cache is meant: several services may share a shard.
  layer      text NOT NULL,
  -- A list of { namespace, keys | tags | patterns }.
  records    jsonb NOT NULL,
  written_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

GRANT USAGE ON SCHEMA shardline TO PUBLIC;
GRANT SELECT, INSERT, DELETE ON shardline.outbox TO PUBLIC;
