-- Purpose: what the connected database says of functions, operators, casts and relations, so that a
--          statement can be proven to be a pure read. One row per name.
-- Returns: kind, schema, name, flag, definition
--   function   flag: some overload is volatile (an aggregate: one of its parts; a procedure: always)
--   attribute  a volatile function that column notation can call: SELECT row.name
--   operator   an operator whose function is volatile
--   cast       a type with a volatile cast function to it
--   unlogged   a relation that no standby can read
--   view       definition: its query, to be classified like any other
SELECT 'function' AS kind, n.nspname AS schema, p.proname AS name,
       bool_or(p.provolatile = 'v' OR p.prokind = 'p' OR COALESCE(part.is_volatile, false)) AS flag,
       NULL::text AS definition
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  LEFT JOIN LATERAL (
    SELECT bool_or(f.provolatile = 'v') AS is_volatile
      FROM pg_catalog.pg_aggregate a
      JOIN pg_catalog.pg_proc f
        ON f.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggmfinalfn)
     WHERE a.aggfnoid = p.oid
  ) part ON p.prokind = 'a' AND n.nspname <> 'pg_catalog'
 GROUP BY n.nspname, p.proname
UNION ALL
SELECT DISTINCT 'attribute', n.nspname, p.proname, true, NULL::text
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_type t ON t.oid = p.proargtypes[0]
 WHERE p.provolatile = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
   AND p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1 AND t.typtype IN ('c', 'p')
UNION ALL
SELECT DISTINCT 'operator', n.nspname, o.oprname, true, NULL::text
  FROM pg_catalog.pg_operator o
  JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
  JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
 WHERE p.provolatile = 'v'
UNION ALL
SELECT DISTINCT 'cast', n.nspname, t.typname, true, NULL::text
  FROM pg_catalog.pg_cast c
  JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc
  JOIN pg_catalog.pg_type t ON t.oid = c.casttarget
  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
 WHERE p.provolatile = 'v'
UNION ALL
SELECT 'unlogged', n.nspname, c.relname, true, NULL::text
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'S', 'm')
UNION ALL
SELECT 'view', n.nspname, c.relname, true, pg_catalog.pg_get_viewdef(c.oid)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
