-- Routers whose lease runs and that have not acknowledged a revision yet.
-- $1 revision
SELECT id, name, revision::text AS revision,
  greatest(0, extract(epoch FROM lease_until - clock_timestamp()) * 1000)::float8 AS "leaseLeftMs"
FROM shardline.router
WHERE revision < $1 AND lease_until > clock_timestamp() ORDER BY name, id
