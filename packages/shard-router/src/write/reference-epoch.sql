-- The epoch that a router must know to write reference tables here. Asked behind the write, in its transaction.
SELECT epoch::text AS epoch FROM shardline.reference_epoch
