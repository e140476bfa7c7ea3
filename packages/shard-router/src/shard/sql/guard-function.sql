-- BEFORE INSERT, UPDATE, DELETE of one table: refuses rows of slots that this shard does not own. For an UPDATE
-- both the old and the new key count. Written per table because the slot is computed from a column of it.
-- Placeholders, each filled in by the quoting module:
--   :function   name of the function        :keyspace  keyspace, as a literal
--   :new_slot   slot of the row as written  :old_slot  slot of the row as it was
--   :key        name of the key column, as a literal
-- Runs as whoever writes and with his search_path (setting one costs more than the lookup), so every name and every
-- operator is written with its schema.
CREATE OR REPLACE FUNCTION :function() RETURNS trigger LANGUAGE plpgsql AS $guard$
DECLARE
  checked_slot pg_catalog.int4;
  other_slot pg_catalog.int4;
BEGIN
  IF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
    checked_slot := :old_slot;
  ELSE
    checked_slot := :new_slot;
    IF checked_slot IS NULL THEN
      RAISE EXCEPTION 'a row without a key (column %) has no slot and no shard', :key
        USING ERRCODE = 'not_null_violation';
    END IF;
    IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
      other_slot := :old_slot;
      IF other_slot OPERATOR(pg_catalog.<>) checked_slot THEN
        PERFORM shardline.check_slot_change(
          :keyspace, other_slot, checked_slot, TG_RELID::pg_catalog.regclass::pg_catalog.text);
      END IF;
    END IF;
  END IF;
  LOOP
    IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) 'read committed' THEN
      PERFORM shardline.lock_slot(:keyspace, checked_slot);
    END IF;
    PERFORM 1 FROM shardline.slot_ownership AS known
    WHERE known.keyspace OPERATOR(pg_catalog.=) :keyspace
      AND known.slot OPERATOR(pg_catalog.=) checked_slot AND known.is_owned;
    IF NOT FOUND THEN
      PERFORM shardline.refuse_slot(
        :keyspace, checked_slot, TG_RELID::pg_catalog.regclass::pg_catalog.text, TG_OP);
    END IF;
    EXIT WHEN other_slot IS NULL OR other_slot OPERATOR(pg_catalog.=) checked_slot;
    checked_slot := other_slot;
  END LOOP;
  IF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
    RETURN OLD;
  END IF;
  RETURN NEW;
END;
$guard$
