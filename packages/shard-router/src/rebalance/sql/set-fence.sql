-- Sets or lifts the fence of a move. A guard asks `is_owned`, so that is off while the fence is on.
-- :move  :is_fenced
UPDATE shardline.slot_ownership AS s SET is_fenced = :is_fenced, is_owned = NOT :is_fenced
FROM shardline.move_record AS r
WHERE r.move = :move AND s.keyspace = r.keyspace AND s.slot = ANY (r.slots)
  AND (s.is_owned OR s.is_fenced) AND s.is_fenced <> :is_fenced
