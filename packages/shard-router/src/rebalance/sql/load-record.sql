-- A shard's record of a move, with what its standing record says of the slots.
-- :move  as a literal   :lock  `FOR UPDATE OF r`, or nothing
SELECT r.generation::float8 AS generation, r.is_fenced AS "isFenced", r.has_inbound AS "hasInbound",
  r.has_outbound AS "hasOutbound", r.has_idle_inbound AS "hasIdleInbound",
  r.deferred_indexes <> '{}' AS "hasDeferredIndexes",
  r.has_foreign_rows AS "hasForeignRows", r.barrier_written::float8 AS "barrierWritten",
  CASE WHEN r.has_inbound THEN coalesce((
    SELECT max(b.generation) FROM shardline.move_barrier AS b
    WHERE b.move = r.move AND b.written_by <> r.shard), 0) ELSE 0 END::float8 AS "barrierSeen",
  s."isOwner", s.epoch, s."isInTransit",
  (SELECT o.epoch FROM shardline.ownership AS o WHERE o.keyspace = r.keyspace)::float8 AS "recordEpoch"
FROM shardline.move_record AS r
CROSS JOIN LATERAL (
  SELECT coalesce(bool_or(k.is_owned OR k.is_fenced), false) AS "isOwner",
    coalesce(max(k.epoch), 0)::float8 AS epoch, coalesce(bool_or(k.in_transit), false) AS "isInTransit"
  FROM shardline.slot_ownership AS k
  WHERE k.keyspace = r.keyspace AND k.slot = ANY (r.slots)
) AS s
WHERE r.move = :move
:lock
