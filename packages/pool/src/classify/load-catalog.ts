import { HARMLESS_VOLATILE } from './built-in-functions.js';
import catalogSql from './catalog.sql';
import { classifyText } from './classify-text.js';
import type { CatalogContents, FunctionCatalog } from './volatile-functions.js';

/** Runs the loader's one statement on the database. */
export type CatalogQuery = (text: string) => Promise<{ readonly rows: readonly unknown[] }>;

interface CatalogRow {
  readonly kind: 'function' | 'attribute' | 'operator' | 'cast' | 'unlogged' | 'view';
  readonly schema: string;
  readonly name: string;
  readonly flag: boolean;
  readonly definition: string | null;
}

interface View {
  readonly schema: string;
  readonly name: string;
  readonly definition: string;
}

/** Parsing is synchronous: between so many views the event loop gets its turn. */
const VIEWS_PER_TURN = 50;

/**
 * Reads the catalog of the connected database into a `FunctionCatalog`. A view counts as readable on a
 * standby when its definition is a pure read, judged like any statement; what reads from an impure
 * view is impure too.
 */
export async function loadCatalog(
  catalog: FunctionCatalog,
  query: CatalogQuery,
  nowMs: number,
): Promise<void> {
  const rows = (await query(catalogSql)).rows as readonly CatalogRow[];
  const relations = new Map<string, string>();
  for (const row of rows) {
    if (row.kind === 'unlogged') addBoth(relations, row, `${row.name} is unlogged`);
  }
  catalog.replace({ ...sortRows(rows), relations }, nowMs);
  await addImpureViews(catalog, relations, rows);
  catalog.replace({ ...sortRows(rows), relations }, nowMs);
}

function sortRows(rows: readonly CatalogRow[]): Omit<CatalogContents, 'relations'> {
  const functions = new Map<string, boolean>();
  for (const { kind, schema, name, flag } of rows) {
    if (kind !== 'function') continue;
    const isVolatile = flag && !(schema === 'pg_catalog' && HARMLESS_VOLATILE.has(name));
    functions.set(`${schema}.${name}`, isVolatile);
    functions.set(name, isVolatile || functions.get(name) === true);
  }
  const names = (kind: CatalogRow['kind']) =>
    new Set(rows.filter((row) => row.kind === kind).map((row) => row.name));
  return {
    functions,
    attributes: names('attribute'),
    operators: names('operator'),
    casts: names('cast'),
  };
}

async function addImpureViews(
  catalog: FunctionCatalog,
  relations: Map<string, string>,
  rows: readonly CatalogRow[],
): Promise<void> {
  let pending: View[] = [];
  for (const { kind, schema, name, definition } of rows) {
    if (kind === 'view') pending.push({ schema, name, definition: definition ?? '' });
  }
  // The map is the one that the catalog looks into, so each round sees what the last one found.
  for (let isNew = true; isNew; ) {
    const left: View[] = [];
    for (const [index, view] of pending.entries()) {
      if (index % VIEWS_PER_TURN === VIEWS_PER_TURN - 1) await new Promise(setImmediate);
      const { kind, reason } = classifyText(view.definition, catalog);
      if (kind === 'read') left.push(view);
      else addBoth(relations, view, `the view ${view.name} is not a pure read (${reason})`);
    }
    isNew = left.length < pending.length;
    pending = left;
  }
}

function addBoth(
  relations: Map<string, string>,
  { schema, name }: { schema: string; name: string },
  reason: string,
): void {
  relations.set(name, reason);
  relations.set(`${schema}.${name}`, reason);
}
