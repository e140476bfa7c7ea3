-- Sessions that hold the advisory lock of a move in this database.
-- $1 class of the lock  $2 its key, both as the lock's functions take them
SELECT pid FROM pg_catalog.pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 2
  AND classid = $1::integer::oid AND objid = $2::integer::oid
  AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
