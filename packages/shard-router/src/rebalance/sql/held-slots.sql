-- Of these slots, those that a shard says are its own since the topology's epoch, and in no move.
-- $1 keyspace  $2 slots  $3 the topology's epoch of each
SELECT s.slot FROM unnest($2::integer[], $3::bigint[]) AS known (slot, epoch)
JOIN shardline.slot_ownership AS s ON s.keyspace = $1 AND s.slot = known.slot
WHERE (s.is_owned OR s.is_fenced) AND NOT s.in_transit AND s.epoch = known.epoch
