-- Takes a worker number that nobody holds, the lowest free one, or renews the one that is held.
-- $1 holder  $2 most numbers  $3 length of the lease in milliseconds
INSERT INTO shardline.worker AS w (id, holder, lease_until)
SELECT candidate.id, $1, clock_timestamp() + $3::float8 * interval '1 millisecond'
FROM (
  SELECT coalesce(
    (SELECT held.id FROM shardline.worker AS held WHERE held.holder = $1),
    (SELECT n FROM generate_series(0, $2::integer - 1) AS n
     WHERE NOT EXISTS (SELECT 1 FROM shardline.worker AS taken
                       WHERE taken.id = n AND taken.lease_until > clock_timestamp())
     ORDER BY n LIMIT 1)) AS id
) AS candidate WHERE candidate.id IS NOT NULL
ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
  WHERE w.holder = excluded.holder OR w.lease_until <= clock_timestamp()
RETURNING id
