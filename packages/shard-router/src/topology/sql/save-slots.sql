-- Writes the owners of slots.
-- $1 keyspace  $2 slots  $3 owners  $4 epochs, three arrays of one length
INSERT INTO shardline.slot (keyspace, slot, shard, epoch)
SELECT $1, t.slot, t.shard, t.epoch
FROM unnest($2::integer[], $3::text[], $4::bigint[]) AS t(slot, shard, epoch)
ON CONFLICT (keyspace, slot) DO UPDATE SET shard = excluded.shard, epoch = excluded.epoch
