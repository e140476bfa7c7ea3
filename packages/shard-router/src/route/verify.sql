-- Which of these slots the shard owned, and since when, at one moment after the reads that are being checked. A slot
-- behind a fence is still owned: nobody can have written to it anywhere else.
-- $1 keyspace  $2 slots
SELECT slot, epoch::text AS epoch FROM shardline.slot_ownership
WHERE keyspace = $1 AND slot = ANY ($2::integer[]) AND (is_owned OR is_fenced)
