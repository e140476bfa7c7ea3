-- The oldest rows of the outbox that nobody has carried out in time.
--
-- Those who write rows carry them out themselves, within milliseconds; what is younger than that is theirs.
--
-- $1  how old a row must be, in milliseconds
-- $2  most rows
-- $3  name of the data layer whose rows they are
-- $4  rows to leave out, as an array of their ids

SELECT id::text AS id, records, extract(epoch FROM clock_timestamp() - written_at) AS age_seconds
FROM shardline.outbox
WHERE written_at < clock_timestamp() - $1::double precision * interval '1 millisecond'
  AND layer = $3
  AND id <> ALL ($4::bigint[])
ORDER BY id
LIMIT $2
