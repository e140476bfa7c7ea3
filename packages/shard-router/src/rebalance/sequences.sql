-- The sequences that number the rows of tables: identity and serial columns, and sequences that a column's default
-- names. (A name that a default computes as text is in no catalog and cannot be found.)
-- $1 schemas  $2 tables, two arrays of one length
-- Returns one row per column and sequence; numbers as text, since a sequence may go beyond 2^53.
SELECT t.schema_name AS "tableSchema", t.table_name AS "tableName", a.attname AS "column",
  sn.nspname AS "sequenceSchema", s.relname AS "sequenceName",
  q.seqincrement::text AS increment,
  greatest(q.seqmin, CASE a.atttypid WHEN 'int2'::regtype THEN -32768 WHEN 'int4'::regtype THEN -2147483648
                     ELSE q.seqmin END)::text AS minimum,
  least(q.seqmax, CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647
                  ELSE q.seqmax END)::text AS maximum
FROM unnest($1::text[], $2::text[]) AS t(schema_name, table_name)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = t.schema_name
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.table_name
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN LATERAL (
  SELECT d.objid AS sequence FROM pg_catalog.pg_depend AS d
  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
    AND d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i')
  UNION
  SELECT d.refobjid FROM pg_catalog.pg_attrdef AS f
  JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = f.oid
  WHERE f.adrelid = c.oid AND f.adnum = a.attnum AND d.refclassid = 'pg_catalog.pg_class'::regclass
) AS found ON true
JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = found.sequence
JOIN pg_catalog.pg_class AS s ON s.oid = q.seqrelid
JOIN pg_catalog.pg_namespace AS sn ON sn.oid = s.relnamespace
ORDER BY 1, 2, 3, 4, 5
