-- The whole map of one keyspace, in two arrays by slot.
-- $1 keyspace
SELECT array_agg(shard ORDER BY slot) AS owners, array_agg(epoch::text ORDER BY slot) AS epochs
FROM shardline.slot WHERE keyspace = $1
