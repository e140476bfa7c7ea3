-- What a shard knows of itself, in its own database: which slots it owns, since which epoch, and who owns
-- the others. The guards of the sharded tables read it, and so does every verified call.
-- Applied once, in one transaction under an advisory lock; later versions are files of their own.

-- One row per keyspace: this shard's name and the epoch of the last change that concerned this shard.
CREATE TABLE shardline.ownership (
  keyspace text PRIMARY KEY,
  shard text NOT NULL,
  slots integer NOT NULL,
  epoch bigint NOT NULL
);

-- One row per slot. `epoch` is when the owner last changed; `in_transit` while a move touches the slot here.
CREATE TABLE shardline.slot_ownership (
  keyspace text NOT NULL,
  slot integer NOT NULL,
  owner text NOT NULL,
  epoch bigint NOT NULL,
  is_owned boolean NOT NULL,
  in_transit boolean NOT NULL DEFAULT false,
  PRIMARY KEY (keyspace, slot)
) WITH (fillfactor = 70);

-- Which tables stand under guard, for `status` and for taking it off again.
CREATE TABLE shardline.guarded_table (
  table_schema text NOT NULL,
  table_name text NOT NULL,
  keyspace text NOT NULL,
  key_column text NOT NULL,
  guard_function text NOT NULL,
  PRIMARY KEY (table_schema, table_name)
);

-- A guard reads these as whoever writes, so everybody may read them: they hold no secrets.
GRANT USAGE ON SCHEMA shardline TO PUBLIC;
GRANT SELECT ON shardline.ownership, shardline.slot_ownership, shardline.guarded_table TO PUBLIC;

-- Under REPEATABLE READ and SERIALIZABLE a guard sees the record as of the transaction's snapshot, which may
-- be older than a switch. Locking the row makes PostgreSQL compare: if it has changed since the
-- snapshot, the transaction fails with 40001 and may be run again. SECURITY DEFINER, since the lock needs a
-- right to UPDATE that writers do not have; it locks a row for the rest of the transaction and does no more.
CREATE FUNCTION shardline.lock_slot(wanted_keyspace text, wanted_slot integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM 1 FROM shardline.slot_ownership
  WHERE keyspace = wanted_keyspace AND slot = wanted_slot FOR SHARE;
END;
$$;

-- Ends a write to a slot that this shard does not own. DETAIL is JSON for the router to read.
CREATE FUNCTION shardline.refuse_slot(
  wanted_keyspace text, wanted_slot integer, refused_table text, refused_operation text
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  known record;
BEGIN
  SELECT owner, epoch INTO known FROM shardline.slot_ownership
  WHERE keyspace = wanted_keyspace AND slot = wanted_slot;
  RAISE EXCEPTION '% on % refused: slot % of keyspace "%" belongs to shard "%"',
    refused_operation, refused_table, wanted_slot, wanted_keyspace, coalesce(known.owner, 'unknown')
  USING ERRCODE = 'SL001',
    DETAIL = json_build_object('keyspace', wanted_keyspace, 'slot', wanted_slot,
      'owner', known.owner, 'epoch', known.epoch)::text,
    HINT = 'Write through the router, or to the shard that is named.';
END;
$$;

-- BEFORE TRUNCATE: emptying a table is refused where rows of slots in a move, or of no slot of this shard,
-- could be among them. Argument: the keyspace.
CREATE FUNCTION shardline.guard_truncate() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  known record;
BEGIN
  SELECT slot INTO known FROM shardline.slot_ownership
  WHERE keyspace = TG_ARGV[0] AND in_transit LIMIT 1;
  IF FOUND THEN
    PERFORM shardline.refuse_slot(TG_ARGV[0], known.slot, TG_RELID::regclass::text, 'TRUNCATE during a move');
  END IF;
  IF NOT EXISTS (SELECT 1 FROM shardline.slot_ownership WHERE keyspace = TG_ARGV[0] AND is_owned) THEN
    PERFORM shardline.refuse_slot(TG_ARGV[0], 0, TG_RELID::regclass::text, 'TRUNCATE');
  END IF;
  RETURN NULL;
END;
$$;
