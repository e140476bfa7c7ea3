-- Ends a shard's record of a move. What comes later with an older generation finds no record, and can make none.
-- $1 move  $2 generation
WITH gone AS (DELETE FROM shardline.move_record WHERE move = $1 AND generation <= $2::bigint),
barriers AS (DELETE FROM shardline.move_barrier WHERE move = $1)
UPDATE shardline.move_floor SET generation = greatest(generation, $2::bigint)
