-- Tables of which the planner knows nothing: never analysed, or with no rows when they were.
-- $1 schemas  $2 names, two arrays of one length
SELECT pg_catalog.format('%I.%I', wanted.schema, wanted.name) AS name
FROM unnest($1::text[], $2::text[]) AS wanted(schema, name)
WHERE NOT EXISTS (
  SELECT 1 FROM pg_catalog.pg_stats AS s WHERE s.schemaname = wanted.schema AND s.tablename = wanted.name)
ORDER BY 1
