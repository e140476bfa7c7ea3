-- The parts of the declared tables that must be the same on every shard, one row each.
-- $1 schemas  $2 tables, two arrays of one length
WITH wanted AS (
  SELECT t.schema_name, t.table_name, c.oid
  FROM unnest($1::text[], $2::text[]) AS t(schema_name, table_name)
  LEFT JOIN (pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace)
    ON n.nspname = t.schema_name AND c.relname = t.table_name
)
SELECT schema_name || '.' || table_name AS "table", part, definition FROM (
  SELECT schema_name, table_name, 'table' AS part, CASE WHEN oid IS NULL THEN 'missing' ELSE 'present' END AS definition
  FROM wanted
  UNION ALL
  SELECT schema_name, table_name, 'column ' || a.attname,
    pg_catalog.format_type(a.atttypid, a.atttypmod)
      || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
      || coalesce(' default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid), '')
      || CASE WHEN a.attcollation <> 0 AND NOT coalesce(co.collisdeterministic, true) THEN ' nondeterministic collation' ELSE '' END
  FROM wanted JOIN pg_catalog.pg_attribute AS a ON a.attrelid = wanted.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  LEFT JOIN pg_catalog.pg_collation AS co ON co.oid = a.attcollation
  UNION ALL
  SELECT schema_name, table_name, 'constraint ' || k.conname, pg_catalog.pg_get_constraintdef(k.oid)
  FROM wanted JOIN pg_catalog.pg_constraint AS k ON k.conrelid = wanted.oid AND k.contype <> 'n'
  UNION ALL
  SELECT schema_name, table_name, 'index ' || i.relname,
    pg_catalog.pg_get_indexdef(x.indexrelid) || CASE WHEN x.indisvalid THEN '' ELSE ' (invalid)' END
  FROM wanted JOIN pg_catalog.pg_index AS x ON x.indrelid = wanted.oid
  JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
  UNION ALL
  SELECT schema_name, table_name, 'trigger ' || g.tgname,
    CASE g.tgenabled WHEN 'O' THEN 'enabled' ELSE 'enabled as ' || g.tgenabled::text END
  FROM wanted JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = wanted.oid AND NOT g.tgisinternal
) AS parts ORDER BY 1, 2
