-- Indexes that a copy into a shard without slots does without.
-- Applied once, in one transaction under an advisory lock; later versions are files of their own.

-- Index by its name, and the statement that brings it back: written in the transaction that drops it, and taken out in
-- the one that makes it again.
ALTER TABLE shardline.move_record ADD COLUMN deferred_indexes jsonb NOT NULL DEFAULT '{}';
