-- The statements that make tables, with everything that they need and that this can make, in an order in which they work.
-- Names and expressions are written by the server, with `search_path` empty, so that each is qualified.
-- $1 schemas  $2 tables, two arrays of one length
-- Returns one row per object: "phase" for the order; "kind" and "identity" to tell whether it exists elsewhere; "ddl",
-- or null for what cannot be made by this, and then "problem" says what it is.
WITH RECURSIVE wanted AS (
  SELECT DISTINCT p.relid AS oid, p.parentrelid, p.level
  FROM unnest($1::text[], $2::text[]) AS t(schema_name, table_name)
  JOIN pg_catalog.pg_namespace AS n ON n.nspname = t.schema_name
  JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.table_name AND c.relkind IN ('r', 'p')
  CROSS JOIN LATERAL (SELECT relid, parentrelid, level FROM pg_catalog.pg_partition_tree(c.oid) WHERE c.relkind = 'p'
                      UNION ALL SELECT c.oid, NULL, 0 WHERE c.relkind = 'r') AS p
), relation AS (
  SELECT c.*, format('%I.%I', n.nspname, c.relname) AS target, w.level, n.nspname,
    CASE WHEN w.parentrelid IS NOT NULL THEN w.parentrelid::regclass::text END AS parent
  FROM wanted AS w JOIN pg_catalog.pg_class AS c ON c.oid = w.oid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
), part AS (
  -- Everything that hangs on the tables.
  SELECT 'pg_catalog.pg_class'::regclass AS classid, oid AS objid FROM wanted
  UNION SELECT 'pg_catalog.pg_attrdef'::regclass, d.oid FROM pg_catalog.pg_attrdef AS d JOIN wanted ON wanted.oid = d.adrelid
  UNION SELECT 'pg_catalog.pg_constraint'::regclass, k.oid FROM pg_catalog.pg_constraint AS k JOIN wanted ON wanted.oid = k.conrelid
  UNION SELECT 'pg_catalog.pg_class'::regclass, i.indexrelid FROM pg_catalog.pg_index AS i JOIN wanted ON wanted.oid = i.indrelid
  UNION SELECT 'pg_catalog.pg_trigger'::regclass, g.oid FROM pg_catalog.pg_trigger AS g JOIN wanted ON wanted.oid = g.tgrelid
    WHERE NOT g.tgisinternal AND g.tgname NOT LIKE '~shardline_guard%'
), needed(classid, objid, depth) AS (
  SELECT classid::oid, objid, 0 FROM part
  UNION
  SELECT d.refclassid, coalesce(e.typelem, d.refobjid), n.depth + 1
  FROM needed AS n JOIN pg_catalog.pg_depend AS d ON d.classid = n.classid AND d.objid = n.objid
  -- An array type is made with its element.
  LEFT JOIN pg_catalog.pg_type AS e ON d.refclassid = 'pg_catalog.pg_type'::regclass AND e.oid = d.refobjid
    AND e.typelem <> 0 AND e.typsubscript = 'pg_catalog.array_subscript_handler'::regproc
  WHERE d.refobjid >= 16384 AND d.deptype IN ('n', 'i', 'a') AND n.depth < 20
    AND d.refclassid <> 'pg_catalog.pg_namespace'::regclass
    AND NOT (d.refclassid = 'pg_catalog.pg_class'::regclass AND n.depth > 0
             AND d.refobjid IN (SELECT oid FROM wanted))
), object AS (
  SELECT n.classid, n.objid, max(n.depth) AS depth, x.extname
  FROM needed AS n
  LEFT JOIN pg_catalog.pg_depend AS d ON d.classid = n.classid AND d.objid = n.objid AND d.deptype = 'e'
  LEFT JOIN pg_catalog.pg_extension AS x ON x.oid = d.refobjid
  WHERE (n.classid, n.objid) NOT IN (SELECT classid::oid, objid FROM part)
  GROUP BY 1, 2, 4
), sequence AS (
  SELECT DISTINCT s.oid, format('%I.%I', sn.nspname, s.relname) AS target, q.*, sn.nspname, s.relacl, own.refobjid, own.refobjsubid
  FROM (
    SELECT objid FROM object WHERE classid = 'pg_catalog.pg_class'::regclass
    UNION SELECT d.objid FROM pg_catalog.pg_depend AS d JOIN wanted ON d.refobjid = wanted.oid
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'a'
  ) AS o
  JOIN pg_catalog.pg_class AS s ON s.oid = o.objid AND s.relkind = 'S'
  JOIN pg_catalog.pg_namespace AS sn ON sn.oid = s.relnamespace
  JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = s.oid
  LEFT JOIN pg_catalog.pg_depend AS own ON own.classid = 'pg_catalog.pg_class'::regclass AND own.objid = s.oid
    AND own.refclassid = 'pg_catalog.pg_class'::regclass AND own.deptype = 'a' AND own.refobjid IN (SELECT oid FROM wanted)
), column_line AS (
  SELECT a.attrelid, string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod))
    || CASE WHEN a.attcollation <> 0 AND a.attcollation <> ty.typcollation
            THEN format(' COLLATE %I.%I', cn.nspname, co.collname) ELSE '' END
    || CASE WHEN a.attgenerated = 's' THEN format(' GENERATED ALWAYS AS (%s) STORED', pg_get_expr(d.adbin, d.adrelid))
            WHEN a.attgenerated = 'v' THEN format(' GENERATED ALWAYS AS (%s) VIRTUAL', pg_get_expr(d.adbin, d.adrelid))
            WHEN d.oid IS NOT NULL THEN ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) ELSE '' END
    || CASE WHEN a.attidentity <> '' THEN format(
         ' GENERATED %s AS IDENTITY (SEQUENCE NAME %s START %s INCREMENT %s MINVALUE %s MAXVALUE %s CACHE %s %s)',
         CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, iq.seqrelid::regclass, iq.seqstart,
         iq.seqincrement, iq.seqmin, iq.seqmax, iq.seqcache, CASE WHEN iq.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END) ELSE '' END
    || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END, ', ' ORDER BY a.attnum) AS lines
  FROM pg_catalog.pg_attribute AS a JOIN wanted ON wanted.oid = a.attrelid
  JOIN pg_catalog.pg_type AS ty ON ty.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  LEFT JOIN pg_catalog.pg_collation AS co ON co.oid = a.attcollation
  LEFT JOIN pg_catalog.pg_namespace AS cn ON cn.oid = co.collnamespace
  LEFT JOIN (pg_catalog.pg_depend AS id JOIN pg_catalog.pg_sequence AS iq ON iq.seqrelid = id.objid)
    ON id.classid = 'pg_catalog.pg_class'::regclass AND id.refclassid = 'pg_catalog.pg_class'::regclass
    AND id.refobjid = a.attrelid AND id.refobjsubid = a.attnum AND id.deptype = 'i'
  WHERE a.attnum > 0 AND NOT a.attisdropped GROUP BY 1
)
SELECT phase, kind, identity, ddl, problem FROM (
  SELECT DISTINCT 10 AS phase, 0::bigint AS place, 'schema' AS kind, nspname::text AS identity,
    format('CREATE SCHEMA IF NOT EXISTS %I', nspname) AS ddl, NULL::text AS problem
  FROM (SELECT nspname FROM relation UNION SELECT nspname FROM sequence
        UNION SELECT n.nspname FROM object JOIN pg_catalog.pg_type AS t ON object.classid = 'pg_catalog.pg_type'::regclass AND t.oid = object.objid
          JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
        UNION SELECT n.nspname FROM object JOIN pg_catalog.pg_proc AS p ON object.classid = 'pg_catalog.pg_proc'::regclass AND p.oid = object.objid
          JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace) AS s WHERE nspname <> 'pg_catalog'
  UNION ALL
  SELECT DISTINCT 11, 0, 'extension', x.extname::text,
    format('CREATE EXTENSION IF NOT EXISTS %I SCHEMA %I', x.extname, n.nspname), NULL
  FROM object JOIN pg_catalog.pg_extension AS x ON x.extname = object.extname
    OR (object.classid = 'pg_catalog.pg_extension'::regclass AND x.oid = object.objid)
  JOIN pg_catalog.pg_namespace AS n ON n.oid = x.extnamespace
  UNION ALL
  SELECT 20, -object.depth, 'collation', format('%I.%I', n.nspname, co.collname), format(
      'CREATE COLLATION %I.%I (PROVIDER = %s, %s DETERMINISTIC = %s)', n.nspname, co.collname,
      CASE co.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
      CASE WHEN co.collprovider = 'c' THEN format('LC_COLLATE = %L, LC_CTYPE = %L,', co.collcollate, co.collctype)
           ELSE format('LOCALE = %L,', coalesce(to_jsonb(co) ->> 'colllocale', to_jsonb(co) ->> 'colliculocale')) END,
      CASE WHEN co.collisdeterministic THEN 'true' ELSE 'false' END), NULL
  FROM object JOIN pg_catalog.pg_collation AS co ON object.classid = 'pg_catalog.pg_collation'::regclass AND co.oid = object.objid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = co.collnamespace WHERE object.extname IS NULL
  UNION ALL
  SELECT 20, -object.depth, 'type', format('%I.%I', n.nspname, t.typname), CASE
      WHEN t.typtype = 'e' THEN format('CREATE TYPE %I.%I AS ENUM (%s)', n.nspname, t.typname,
        (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = t.oid))
      WHEN t.typtype = 'd' THEN format('CREATE DOMAIN %I.%I AS %s', n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod))
        || coalesce(' DEFAULT ' || pg_get_expr(t.typdefaultbin, 0), '') || CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END
        || coalesce((SELECT string_agg(format(' CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid)), '' ORDER BY k.conname)
                     FROM pg_catalog.pg_constraint AS k WHERE k.contypid = t.oid AND k.contype = 'c'), '')
      WHEN t.typtype = 'c' THEN format('CREATE TYPE %I.%I AS (%s)', n.nspname, t.typname,
        (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
         FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))
    END, CASE WHEN t.typtype NOT IN ('e', 'd', 'c') THEN format('type %I.%I', n.nspname, t.typname) END
  FROM object JOIN pg_catalog.pg_type AS t ON object.classid = 'pg_catalog.pg_type'::regclass AND t.oid = object.objid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_class AS tc ON tc.oid = t.typrelid
  WHERE object.extname IS NULL AND (t.typtype <> 'c' OR tc.relkind = 'c')
  UNION ALL
  -- What a function calls is in no catalog, unless its body was parsed; the order is by what is known.
  SELECT 20, -object.depth, 'function', p.oid::regprocedure::text,
    CASE WHEN p.prokind <> 'a' AND l.lanname NOT IN ('c', 'internal') THEN pg_get_functiondef(p.oid) END,
    CASE WHEN p.prokind = 'a' OR l.lanname IN ('c', 'internal') THEN format('function %s', p.oid::regprocedure) END
  FROM object JOIN pg_catalog.pg_proc AS p ON object.classid = 'pg_catalog.pg_proc'::regclass AND p.oid = object.objid
  JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang WHERE object.extname IS NULL
  UNION ALL
  SELECT 15, 0, 'sequence', target, format('CREATE SEQUENCE %s AS %s START %s INCREMENT %s MINVALUE %s MAXVALUE %s CACHE %s %s',
    target, seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, CASE WHEN seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END), NULL
  FROM sequence
  UNION ALL
  SELECT 30, r.level, 'table', r.target,
    format('CREATE %sTABLE %s ', CASE r.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, r.target)
    || CASE WHEN r.parent IS NULL THEN format('(%s)', coalesce(l.lines, ''))
            ELSE format('PARTITION OF %s %s', r.parent, pg_get_expr(r.relpartbound, r.oid)) END
    || CASE WHEN r.relkind = 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(r.oid) ELSE '' END
    || CASE WHEN r.reloptions IS NOT NULL THEN format(' WITH (%s)', (SELECT string_agg(format('%s = %L',
         split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') FROM unnest(r.reloptions) AS o)) ELSE '' END, NULL
  FROM relation AS r LEFT JOIN column_line AS l ON l.attrelid = r.oid WHERE r.relkind IN ('r', 'p')
  UNION ALL
  SELECT 31, 0, 'sequence owner', s.target, format('ALTER SEQUENCE %s OWNED BY %s.%I', s.target, s.refobjid::regclass, a.attname), NULL
  FROM sequence AS s JOIN pg_catalog.pg_attribute AS a ON a.attrelid = s.refobjid AND a.attnum = s.refobjsubid
  UNION ALL
  SELECT 32, r.level, 'column settings', format('%s.%I', r.target, a.attname), format('ALTER TABLE %s ', r.target) || concat_ws(', ',
      CASE WHEN a.attstorage <> ty.typstorage THEN format('ALTER COLUMN %I SET STORAGE %s', a.attname,
        CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END) END,
      CASE WHEN a.attcompression <> '' THEN format('ALTER COLUMN %I SET COMPRESSION %s', a.attname, CASE a.attcompression WHEN 'l' THEN 'lz4' ELSE 'pglz' END) END,
      CASE WHEN a.attstattarget > 0 THEN format('ALTER COLUMN %I SET STATISTICS %s', a.attname, a.attstattarget) END), NULL
  FROM relation AS r JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_catalog.pg_type AS ty ON ty.oid = a.atttypid
  WHERE r.relkind IN ('r', 'p') AND (a.attstorage <> ty.typstorage OR a.attcompression <> '' OR a.attstattarget > 0)
  UNION ALL
  SELECT CASE k.contype WHEN 'f' THEN 50 ELSE 40 END, r.level, 'constraint', format('%s.%I', r.target, k.conname),
    CASE WHEN k.contype <> 'f' OR k.confrelid IN (SELECT oid FROM wanted) OR f.relname IS NOT NULL
         THEN format('ALTER TABLE %s ADD CONSTRAINT %I %s', r.target, k.conname, pg_get_constraintdef(k.oid)) END, NULL
  FROM relation AS r JOIN pg_catalog.pg_constraint AS k ON k.conrelid = r.oid
  LEFT JOIN pg_catalog.pg_class AS f ON f.oid = k.confrelid
  WHERE k.contype IN ('p', 'u', 'c', 'x', 'f') AND k.conparentid = 0 AND k.coninhcount = 0
  UNION ALL
  -- Of a partitioned table's index PostgreSQL shows only the top; it is to be made on the partitions as well.
  SELECT 41, r.level, 'index', format('%I.%I', r.nspname, i.relname), replace(pg_get_indexdef(x.indexrelid),
      format('INDEX %I ON ONLY ', i.relname), format('INDEX %I ON ', i.relname)), NULL
  FROM relation AS r JOIN pg_catalog.pg_index AS x ON x.indrelid = r.oid
  JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
  WHERE NOT i.relispartition AND NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_constraint AS k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x'))
  UNION ALL
  SELECT 42, 0, 'statistics', format('%I.%I', sn.nspname, st.stxname), pg_get_statisticsobjdef(st.oid), NULL
  FROM relation AS r JOIN pg_catalog.pg_statistic_ext AS st ON st.stxrelid = r.oid
  JOIN pg_catalog.pg_namespace AS sn ON sn.oid = st.stxnamespace
  UNION ALL
  SELECT 43, r.level, 'replica identity', r.target, format('ALTER TABLE %s REPLICA IDENTITY ', r.target) || CASE r.relreplident
      WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' ELSE format('USING INDEX %I', (SELECT i.relname FROM pg_catalog.pg_index AS x
        JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid WHERE x.indrelid = r.oid AND x.indisreplident)) END, NULL
  FROM relation AS r WHERE r.relreplident <> 'd'
  UNION ALL
  SELECT 60, r.level, 'trigger', format('%s.%I', r.target, g.tgname), pg_get_triggerdef(g.oid) || CASE WHEN g.tgenabled = 'O' THEN '' ELSE
      format('; ALTER TABLE %s %s TRIGGER %I', r.target, CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, g.tgname) END, NULL
  FROM relation AS r JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = r.oid
  WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND g.tgname NOT LIKE '~shardline_guard%'
  UNION ALL
  SELECT 70, 0, 'comment', r.target, format('COMMENT ON TABLE %s IS %L', r.target, obj_description(r.oid, 'pg_class')), NULL
  FROM relation AS r WHERE obj_description(r.oid, 'pg_class') IS NOT NULL
  UNION ALL
  SELECT 70, a.attnum, 'comment', format('%s.%I', r.target, a.attname), format('COMMENT ON COLUMN %s.%I IS %L', r.target, a.attname, col_description(r.oid, a.attnum)), NULL
  FROM relation AS r JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND col_description(r.oid, a.attnum) IS NOT NULL
  UNION ALL
  SELECT 80, 0, 'grant', format('%s to %s', g.target, g.grantee), format('GRANT %s ON %s %s TO %s',
      string_agg(g.privilege, ', ' ORDER BY g.privilege), g.what, g.target, g.grantee), NULL
  FROM (
    SELECT 'TABLE' AS what, r.target, x.privilege_type AS privilege, x.grantee AS oid,
      CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END AS grantee FROM relation AS r, aclexplode(r.relacl) AS x WHERE x.grantee <> r.relowner
    UNION ALL
    SELECT 'SEQUENCE', s.target, x.privilege_type, x.grantee, CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END
    FROM sequence AS s, aclexplode(s.relacl) AS x WHERE x.grantee <> x.grantor
    UNION ALL
    SELECT 'SCHEMA', quote_ident(n.nspname), x.privilege_type, x.grantee, CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END
    FROM (SELECT DISTINCT nspname AS name FROM relation) AS d JOIN pg_catalog.pg_namespace AS n ON n.nspname = d.name, aclexplode(n.nspacl) AS x
    WHERE x.grantee <> n.nspowner
  ) AS g GROUP BY g.what, g.target, g.grantee
  UNION ALL
  SELECT 99, 0, 'policy', format('%s.%I', r.target, p.polname), NULL, format('row-level security policy %I of %s', p.polname, r.target)
  FROM relation AS r JOIN pg_catalog.pg_policy AS p ON p.polrelid = r.oid
  UNION ALL
  SELECT 99, 0, 'rule', format('%s.%I', r.target, w.rulename), NULL, format('rule %I of %s', w.rulename, r.target)
  FROM relation AS r JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = r.oid
  UNION ALL
  SELECT 99, 0, 'inheritance', r.target, NULL, format('inheritance of %s', r.target)
  FROM relation AS r WHERE NOT r.relispartition AND r.relkind = 'r'
    AND EXISTS (SELECT 1 FROM pg_catalog.pg_inherits AS h WHERE r.oid IN (h.inhrelid, h.inhparent))
  UNION ALL
  SELECT 99, 0, 'tablespace', r.target, NULL, format('tablespace of %s', r.target) FROM relation AS r WHERE r.reltablespace <> 0
  UNION ALL
  SELECT 99, 0, 'foreign table', r.target, NULL, format('foreign partition %s', r.target) FROM relation AS r WHERE r.relkind NOT IN ('r', 'p')
  UNION ALL
  SELECT 99, 0, 'object', pg_describe_object(object.classid, object.objid, 0), NULL, pg_describe_object(object.classid, object.objid, 0)
  FROM object WHERE object.extname IS NULL AND object.classid NOT IN ('pg_catalog.pg_type'::regclass, 'pg_catalog.pg_proc'::regclass,
    'pg_catalog.pg_collation'::regclass, 'pg_catalog.pg_extension'::regclass, 'pg_catalog.pg_class'::regclass, 'pg_catalog.pg_constraint'::regclass)
) AS statements ORDER BY phase, place, kind, identity
