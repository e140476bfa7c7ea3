-- Which objects exist here, of those whose existence their name alone tells.
-- $1 kinds  $2 identities, two arrays of one length, as schema-statements.sql writes them
SELECT o.kind, o.identity FROM unnest($1::text[], $2::text[]) AS o(kind, identity)
WHERE CASE o.kind
  WHEN 'schema' THEN EXISTS (SELECT 1 FROM pg_catalog.pg_namespace AS n WHERE n.nspname = o.identity)
  WHEN 'extension' THEN EXISTS (SELECT 1 FROM pg_catalog.pg_extension AS x WHERE x.extname = o.identity)
  WHEN 'collation' THEN to_regcollation(o.identity) IS NOT NULL
  WHEN 'type' THEN to_regtype(o.identity) IS NOT NULL
  WHEN 'function' THEN to_regprocedure(o.identity) IS NOT NULL
  WHEN 'sequence' THEN to_regclass(o.identity) IS NOT NULL
  WHEN 'table' THEN to_regclass(o.identity) IS NOT NULL
  ELSE false END
