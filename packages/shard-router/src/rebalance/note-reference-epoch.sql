-- From now on only routers that know this epoch write reference tables here. Never goes back.
-- $1 epoch
UPDATE shardline.reference_epoch SET epoch = greatest(epoch, $1::bigint)
