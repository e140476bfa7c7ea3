-- Writes a shard's record of a move.
-- :move  :generation  :is_fenced  :has_inbound  :has_foreign_rows  :barrier_written
UPDATE shardline.move_record SET generation = :generation, is_fenced = :is_fenced, has_inbound = :has_inbound,
  has_foreign_rows = :has_foreign_rows, barrier_written = :barrier_written
WHERE move = :move
