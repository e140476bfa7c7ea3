-- Takes the lowest worker number that nobody holds, or renews the one that is held, with the range of time that its
-- ids may use: it begins no earlier than the range of whoever had the number before ended.
-- $1 holder  $2 how many numbers there are  $3 length of the lease in milliseconds
-- $4 the holder's clock, in milliseconds since 1970
INSERT INTO shardline.worker AS w (id, holder, lease_until, used_until_ms)
SELECT candidate.id, $1, clock_timestamp() + $3::float8 * interval '1 millisecond', $4::bigint + $3::bigint
FROM (
  SELECT coalesce(
    (SELECT held.id FROM shardline.worker AS held
     WHERE held.holder = $1 AND held.lease_until > clock_timestamp()),
    (SELECT n FROM generate_series(0, $2::integer - 1) AS n
     WHERE NOT EXISTS (SELECT 1 FROM shardline.worker AS taken
                       WHERE taken.id = n AND taken.lease_until > clock_timestamp())
     ORDER BY n LIMIT 1)) AS id
) AS candidate WHERE candidate.id IS NOT NULL
ON CONFLICT (id) DO UPDATE
  SET holder = excluded.holder, lease_until = excluded.lease_until,
      began_ms = CASE WHEN w.holder = excluded.holder AND w.lease_until > clock_timestamp()
                      THEN w.began_ms ELSE w.used_until_ms END,
      used_until_ms = greatest(w.used_until_ms, excluded.used_until_ms)
  WHERE w.holder = excluded.holder OR w.lease_until <= clock_timestamp()
RETURNING id, began_ms::text AS "fromMs", used_until_ms::text AS "untilMs"
