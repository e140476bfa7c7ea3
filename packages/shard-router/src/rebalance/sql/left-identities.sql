-- Tables that a move has set to REPLICA IDENTITY FULL and that still are, with how they were before.
-- $1 moves that are not over
SELECT r.move, identity.key AS name, identity.value AS identity
FROM shardline.move_record AS r
CROSS JOIN LATERAL pg_catalog.jsonb_each_text(r.replica_identities) AS identity
JOIN pg_catalog.pg_class AS c ON c.oid = pg_catalog.to_regclass(identity.key)
WHERE NOT r.move = ANY ($1) AND c.relreplident = 'f'
ORDER BY 1, 2
