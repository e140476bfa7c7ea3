-- The hashes that a shard must compute for the router to find its rows again.
-- Returns one row: hashes of integers, texts and a uuid, as texts in the order of known-answers.ts.
SELECT ARRAY[
  pg_catalog.hashint8extended(0, 0),
  pg_catalog.hashint8extended(42, 0),
  pg_catalog.hashint8extended(-1, 0),
  pg_catalog.hashint8extended(4294967296, 0),
  pg_catalog.hashint8extended(9223372036854775807, 0),
  pg_catalog.hashtextextended('' COLLATE pg_catalog."C", 0),
  pg_catalog.hashtextextended('user:42' COLLATE pg_catalog."C", 0),
  pg_catalog.hashtextextended('PostgreSQL and thirteen' COLLATE pg_catalog."C", 0),
  pg_catalog.hashtextextended(U&'h\00e9llo \+01F680' COLLATE pg_catalog."C", 0),
  pg_catalog.uuid_hash_extended('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 0)
]::text[] AS hashes
