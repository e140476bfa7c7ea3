-- Leaves invalidations in the outbox, in the transaction that makes them necessary.
--
-- $1  name of the data layer whose cache is meant
-- $2  the invalidations, as a JSON list

INSERT INTO shardline.outbox (layer, records) VALUES ($1, $2::jsonb) RETURNING id::text AS id
