-- Lets the slots of a move go, under a new revision, if they were held. :id
WITH gone AS (DELETE FROM shardline.hold WHERE move = :id RETURNING move),
news AS (UPDATE shardline.topology SET revision = revision + 1 WHERE EXISTS (SELECT FROM gone) RETURNING revision)
UPDATE shardline.move SET revision = news.revision FROM news WHERE id = :id
