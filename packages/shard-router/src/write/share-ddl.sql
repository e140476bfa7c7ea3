-- DDL by `everywhere` is under way: no shard joins meanwhile. The class is 'SHDD' in ASCII.
SELECT pg_catalog.pg_advisory_xact_lock_shared(1397244996, 0)
