-- Waits for DDL by `everywhere` that is under way, and lets none begin. The class is 'SHDD' in ASCII.
SELECT pg_catalog.pg_advisory_xact_lock(1397244996, 0)
