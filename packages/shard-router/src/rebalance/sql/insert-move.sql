-- Begins the record of a move.
-- $1 id  $2 plan  $3 position in it  $4 keyspace  $5 source  $6 destination  $7 slots  $8 epoch
-- $9 token and $10 name of the holder  $11 length of his lease in milliseconds  $12 whether the cut-over is held
INSERT INTO shardline.move (id, plan, position, keyspace, source, destination, slots, epoch,
  holder, holder_name, lease_until, is_cut_over_held, state, generation)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
  clock_timestamp() + $11::float8 * interval '1 millisecond', $12, 'planned',
  nextval('shardline.generation'))
