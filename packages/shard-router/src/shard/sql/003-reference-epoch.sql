-- Until when a shard's reference tables are known to be on every shard.
-- Applied once, in one transaction under an advisory lock; later versions are files of their own.

-- The epoch of the newest topology for which the reference tables of this shard and of one that has joined were made
-- the same. It is written in the transaction that compares them, with the tables locked. Whoever writes one reads it
-- behind the write: a router whose topology is older does not know the shard that has joined, and writes past it.
CREATE TABLE shardline.reference_epoch (
  is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  epoch bigint NOT NULL
);
INSERT INTO shardline.reference_epoch (epoch) VALUES (0);

GRANT SELECT ON shardline.reference_epoch TO PUBLIC;
