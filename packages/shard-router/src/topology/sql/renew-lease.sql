-- A router registers or renews its lease and acknowledges a revision.
-- $1 id  $2 name  $3 version  $4 acknowledged revision  $5 length of the lease in milliseconds
INSERT INTO shardline.router AS r (id, name, version, revision, lease_until)
VALUES ($1, $2, $3, $4, clock_timestamp() + $5::float8 * interval '1 millisecond')
ON CONFLICT (id) DO UPDATE SET revision = greatest(r.revision, excluded.revision),
  lease_until = excluded.lease_until, seen_at = clock_timestamp()
