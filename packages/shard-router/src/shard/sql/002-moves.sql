-- What a shard knows of the moves that it takes part in.
-- Applied once, in one transaction under an advisory lock; later versions are files of their own.

-- A fence is a slot that is owned and lets no writes in: `is_owned` is what the guards ask, so it is off while
-- `is_fenced` is on. Reads may still be served: whoever verifies one asks for either.
ALTER TABLE shardline.slot_ownership
  ADD COLUMN is_fenced boolean NOT NULL DEFAULT false,
  ADD CONSTRAINT slot_ownership_fence CHECK (NOT (is_owned AND is_fenced));

-- One row per move while it lasts: the newest generation seen and which objects of the move are here. A row says
-- that an object may be here before the object is made.
CREATE TABLE shardline.move_record (
  move text PRIMARY KEY,
  keyspace text NOT NULL,
  shard text NOT NULL,
  other_shard text NOT NULL,
  slots integer[] NOT NULL,
  generation bigint NOT NULL,
  is_fenced boolean NOT NULL DEFAULT false,
  -- A subscription here that runs.
  has_inbound boolean NOT NULL DEFAULT false,
  -- A publication, a slot and a role here, or on their way, from which the other shard is fed.
  has_outbound boolean NOT NULL DEFAULT false,
  -- A subscription here that is made and does not run yet.
  has_idle_inbound boolean NOT NULL DEFAULT false,
  has_foreign_rows boolean NOT NULL DEFAULT false,
  barrier_written bigint NOT NULL DEFAULT 0,
  -- Replica identities as they were before the move: table by its name, and the statement that brings it back.
  replica_identities jsonb NOT NULL DEFAULT '{}'
);

-- When a move has ended its record goes, and its generation stays here: what comes later than that is refused.
CREATE TABLE shardline.move_floor (
  is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  generation bigint NOT NULL
);
INSERT INTO shardline.move_floor (generation) VALUES (0);

-- Rows that travel with the rows of a move: where one has arrived, everything that was written before it has.
CREATE TABLE shardline.move_barrier (
  move text NOT NULL,
  generation bigint NOT NULL,
  written_by text NOT NULL,
  PRIMARY KEY (move, generation)
);

GRANT SELECT ON shardline.move_record, shardline.move_barrier TO PUBLIC;

-- A row that changes its key goes from one slot to another. While one of the two is being moved and the other is not,
-- that would enter or leave the stream of the move: replication then sends it as a new row, without the values that are
-- stored apart and did not change. Such a change has to wait for the move to end.
CREATE FUNCTION shardline.check_slot_change(
  wanted_keyspace text, old_slot integer, new_slot integer, refused_table text
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (SELECT count(DISTINCT in_transit) FROM shardline.slot_ownership
      WHERE keyspace = wanted_keyspace AND slot IN (old_slot, new_slot)) > 1 THEN
    RAISE EXCEPTION 'UPDATE on % refused: the new key is of slot %, the old one of slot % of keyspace "%", and one of them is being moved',
      refused_table, new_slot, old_slot, wanted_keyspace
    USING ERRCODE = 'SL002', HINT = 'Change the key when the move is over; see `status`.';
  END IF;
END;
$$;
