-- Writes into a shard's standing record that slots of a move have changed their owner. The tables are locked.
-- :move  :owner  :epoch  :is_owned
WITH changed AS (
  UPDATE shardline.slot_ownership AS s
  SET owner = :owner, epoch = :epoch, is_owned = :is_owned, is_fenced = false
  FROM shardline.move_record AS r
  WHERE r.move = :move AND s.keyspace = r.keyspace AND s.slot = ANY (r.slots)
)
UPDATE shardline.ownership AS o SET epoch = greatest(o.epoch, :epoch)
FROM shardline.move_record AS r WHERE r.move = :move AND o.keyspace = r.keyspace
