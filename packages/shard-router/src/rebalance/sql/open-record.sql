-- Begins a shard's record of a move, or raises its generation, unless something newer has been here.
-- $1 move  $2 keyspace  $3 shard  $4 other shard  $5 slots  $6 generation
INSERT INTO shardline.move_record AS r (move, keyspace, shard, other_shard, slots, generation)
SELECT $1, $2, $3, $4, $5::integer[], $6::bigint
WHERE $6::bigint > (SELECT generation FROM shardline.move_floor FOR UPDATE)
ON CONFLICT (move) DO UPDATE SET generation = excluded.generation WHERE r.generation <= excluded.generation
