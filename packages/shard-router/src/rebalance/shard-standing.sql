-- What a shard's own record says of the slots that are to move.
-- $1 keyspace  $2 slots
SELECT
  (SELECT o.shard FROM shardline.ownership AS o WHERE o.keyspace = $1) AS shard,
  coalesce(array_agg(s.slot ORDER BY s.slot) FILTER (WHERE s.is_owned), '{}') AS owned,
  coalesce(array_agg(s.slot ORDER BY s.slot) FILTER (WHERE s.in_transit), '{}') AS "inTransit"
FROM shardline.slot_ownership AS s WHERE s.keyspace = $1 AND s.slot = ANY($2)
