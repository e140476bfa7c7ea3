-- Asks routers to hold the slots of a move back, under a new revision. :id
WITH news AS (UPDATE shardline.topology SET revision = revision + 1 RETURNING revision),
held AS (
  INSERT INTO shardline.hold (keyspace, slots, revision, move)
  SELECT m.keyspace, m.slots, news.revision, m.id FROM shardline.move AS m, news WHERE m.id = :id
  ON CONFLICT (move) DO UPDATE SET revision = excluded.revision
)
UPDATE shardline.move SET revision = news.revision FROM news WHERE id = :id
