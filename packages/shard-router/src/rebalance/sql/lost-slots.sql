-- Of these slots, those that a shard says are not its own and are in no move, as far as it knows; its knowledge must not be
-- newer than the topology's.
-- $1 keyspace  $2 slots  $3 the topology's epoch of each
SELECT s.slot FROM unnest($2::integer[], $3::bigint[]) AS known (slot, epoch)
JOIN shardline.slot_ownership AS s ON s.keyspace = $1 AND s.slot = known.slot
WHERE NOT (s.is_owned OR s.is_fenced OR s.in_transit) AND s.epoch <= known.epoch
