-- What tables are made of that decides whether they can be moved: one row per table that was asked for, each with one
-- JSON value; null for a table that does not exist.
-- $1 schemas  $2 tables  $3 key columns  $4 slot columns (null where the slot is computed), arrays of one length
SELECT t.schema_name AS "schema", t.table_name AS "name", CASE WHEN c.oid IS NULL THEN NULL ELSE json_build_object(
  'kind', c.relkind,
  'isUnlogged', c.relpersistence = 'u' OR EXISTS (
    SELECT 1 FROM pg_catalog.pg_partition_tree(c.oid) AS p JOIN pg_catalog.pg_class AS pc ON pc.oid = p.relid
    WHERE pc.relpersistence = 'u'),
  'isGuarded', EXISTS (SELECT 1 FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = c.oid AND g.tgname = '~shardline_guard'
    AND g.tgenabled = 'O'),
  'isOwnedByRole', pg_has_role(c.relowner, 'USAGE'),
  'hasRowSecurity', c.relrowsecurity,
  'hasInheritance', NOT c.relispartition AND c.relkind = 'r' AND EXISTS (
    SELECT 1 FROM pg_catalog.pg_inherits AS h WHERE c.oid IN (h.inhrelid, h.inhparent)),
  'foreignPartitions', (SELECT count(*) FROM pg_catalog.pg_partition_tree(c.oid) AS p
    JOIN pg_catalog.pg_class AS pc ON pc.oid = p.relid WHERE pc.relkind = 'f'),
  'bytes', (SELECT coalesce(sum(pg_catalog.pg_total_relation_size(p.relid)), pg_catalog.pg_total_relation_size(c.oid))
    FROM pg_catalog.pg_partition_tree(c.oid) AS p),
  'key', (SELECT json_build_object('type', format_type(a.atttypid, NULL), 'isNullable', NOT a.attnotnull,
      'isGenerated', a.attgenerated <> '', 'isDeterministic', coalesce(co.collisdeterministic, true))
    FROM pg_catalog.pg_attribute AS a LEFT JOIN pg_catalog.pg_collation AS co ON co.oid = a.attcollation
    WHERE a.attrelid = c.oid AND a.attname = t.key_column AND NOT a.attisdropped),
  'slotColumn', (SELECT json_build_object('type', format_type(a.atttypid, NULL), 'isGenerated', a.attgenerated <> '')
    FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = t.slot_column AND NOT a.attisdropped),
  'hasPrimaryKey', EXISTS (SELECT 1 FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary),
  'replicaIdentity', c.relreplident,
  -- Columns by which UPDATE and DELETE find a row on the other side; null if there are none.
  'identityColumns', (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
    WHERE i.indrelid = c.oid AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END),
  'hasToast', EXISTS (SELECT 1 FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attstorage <> 'p'),
  'generatedColumns', (SELECT coalesce(json_agg(a.attname ORDER BY a.attnum), '[]') FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped),
  'oidColumns', (SELECT coalesce(json_agg(a.attname ORDER BY a.attnum), '[]') FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      AND (a.atttypid = 'pg_catalog.oid'::regtype OR format_type(a.atttypid, NULL) LIKE '%lo')),
  'uniqueWithoutKey', (SELECT coalesce(json_agg(ic.relname ORDER BY ic.relname), '[]') FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid
    WHERE i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion) AND NOT EXISTS (
      SELECT 1 FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = t.key_column
        AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1]))),
  'replicaTriggers', (SELECT coalesce(json_agg(g.tgname ORDER BY g.tgname), '[]') FROM pg_catalog.pg_trigger AS g
    WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled IN ('A', 'R')),
  'foreignKeys', (SELECT coalesce(json_agg(json_build_object('name', k.conname,
      'otherSchema', n2.nspname, 'other', c2.relname,
      'pairs', (SELECT json_agg(json_build_array(a1.attname, a2.attname)) FROM unnest(k.conkey, k.confkey) AS u(x, y)
        JOIN pg_catalog.pg_attribute AS a1 ON a1.attrelid = k.conrelid AND a1.attnum = u.x
        JOIN pg_catalog.pg_attribute AS a2 ON a2.attrelid = k.confrelid AND a2.attnum = u.y)) ORDER BY k.conname), '[]')
    FROM pg_catalog.pg_constraint AS k JOIN pg_catalog.pg_class AS c2 ON c2.oid = k.confrelid
    JOIN pg_catalog.pg_namespace AS n2 ON n2.oid = c2.relnamespace
    WHERE k.conrelid = c.oid AND k.contype = 'f' AND NOT EXISTS (
      SELECT 1 FROM pg_catalog.pg_constraint AS up WHERE up.oid = k.conparentid AND up.conrelid = k.conrelid)),
  'referencedBy', (SELECT coalesce(json_agg(json_build_object('name', k.conname, 'schema', n2.nspname, 'table', c2.relname)
      ORDER BY k.conname), '[]')
    FROM pg_catalog.pg_constraint AS k JOIN pg_catalog.pg_class AS c2 ON c2.oid = k.conrelid
    JOIN pg_catalog.pg_namespace AS n2 ON n2.oid = c2.relnamespace
    WHERE k.confrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0)
) END AS facts
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
  AS t(schema_name, table_name, key_column, slot_column, n)
LEFT JOIN (pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS ns ON ns.oid = c.relnamespace)
  ON ns.nspname = t.schema_name AND c.relname = t.table_name
ORDER BY t.n
