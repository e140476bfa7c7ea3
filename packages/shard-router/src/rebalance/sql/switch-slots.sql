-- Gives the slots of a move to another owner: epoch and revision rise by one, the slots and both shards are of
-- the new epoch. What `Topology.with({ owners })` does, without reading and writing the whole map in the pause.
-- :id  :owner
WITH news AS (UPDATE shardline.topology SET epoch = epoch + 1, revision = revision + 1 RETURNING epoch, revision),
moved AS (
  UPDATE shardline.slot AS s SET shard = :owner, epoch = news.epoch
  FROM shardline.move AS m, news
  WHERE m.id = :id AND s.keyspace = m.keyspace AND s.slot = ANY (m.slots)
),
known AS (
  UPDATE shardline.shard_epoch AS e SET epoch = news.epoch
  FROM shardline.move AS m, news
  WHERE m.id = :id AND e.keyspace = m.keyspace AND e.shard IN (m.source, m.destination)
)
UPDATE shardline.move SET epoch = news.epoch, revision = news.revision FROM news WHERE id = :id
