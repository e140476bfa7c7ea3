-- Writes what a change of the journal has decided. The row is locked, and was compared before.
-- :id  :state  :generation  :holder  :holder_name  :epoch  :lease_ms
UPDATE shardline.move SET
  state = :state, generation = :generation, holder = :holder, holder_name = :holder_name, epoch = :epoch,
  lease_until = clock_timestamp() + :lease_ms * interval '1 millisecond',
  state_since = CASE WHEN state = :state THEN state_since ELSE clock_timestamp() END,
  waiting_for = NULL
WHERE id = :id
