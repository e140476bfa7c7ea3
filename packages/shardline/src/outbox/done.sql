-- Deletes rows of the outbox that have been carried out. Safe to repeat.
--
-- $1  their ids, as an array

DELETE FROM shardline.outbox WHERE id = ANY ($1::bigint[])
