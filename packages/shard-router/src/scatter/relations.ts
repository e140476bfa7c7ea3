/**
 * What the items of a FROM give, and by which of their columns the key of a row can be told (pure).
 */

import type { Equalities } from '../sql/equalities.js';
import { type Node, stringOf } from '../sql/tree.js';

export type RelationKind = 'sharded' | 'same' | 'opaque';

export interface Relation {
  readonly id: number;
  readonly alias: string;
  readonly kind: RelationKind;
  /** Columns that hold the key of the row. */
  readonly keys: ReadonlySet<string>;
}

/** The rows of a SELECT as those around it see them. */
export interface Output {
  readonly kind: RelationKind;
  readonly keys: ReadonlySet<string>;
  /** By position; undefined where a star hides them. */
  readonly columns: readonly { readonly name: string; readonly isKey: boolean }[] | undefined;
}

/** Where an expression stands: what its names mean and what is known to be equal there. */
export interface Frame {
  readonly relations: Relation[];
  readonly outer: Frame | undefined;
  readonly ctes: Map<string, Output>;
  readonly equalities: Equalities;
  /** The relation of each item of the FROM. */
  readonly byItem: Map<Node, Relation>;
}

/** Relations that have been brought together. */
export interface Group {
  readonly kind: RelationKind;
  readonly sharded: readonly Relation[];
}

export function termOf(relation: Relation, column: string): string {
  return `${relation.id}.${column}`;
}

/** The key columns of the sharded rows of a SELECT. */
export function keyTerms({ relations }: Frame): string[] {
  return relations
    .filter(({ kind }) => kind === 'sharded')
    .flatMap((relation) => [...relation.keys].map((key) => termOf(relation, key)));
}

export function columnTerm(column: Node, frame: Frame): string | undefined {
  const names = (column['fields'] as Node[]).map(stringOf);
  const name = names.at(-1);
  if (name === undefined) return undefined;
  const alias = names.at(-2);
  if (alias === undefined) {
    // Without a schema at hand, a bare name is taken for a key only where it stands, not further out.
    const owner = frame.relations.find(({ keys }) => keys.has(name));
    return owner === undefined ? undefined : termOf(owner, name);
  }
  for (let at: Frame | undefined = frame; at !== undefined; at = at.outer) {
    const owner = at.relations.find((relation) => relation.alias === alias);
    if (owner !== undefined) return termOf(owner, name);
  }
  return undefined;
}

/** Whether an expression is the key of a sharded row of its SELECT. */
export function isKey(node: Node | undefined, frame: Frame): boolean {
  const column = node?.['ColumnRef'] as Node | undefined;
  const term = column === undefined ? undefined : columnTerm(column, frame);
  if (term === undefined) return false;
  return keyTerms(frame).some((key) => frame.equalities.areEqual(key, term));
}

export function relationsOf(item: Node, frame: Frame): Relation[] {
  const join = item['JoinExpr'] as Node | undefined;
  if (join === undefined) return [frame.byItem.get(item) as Relation];
  return [join['larg'], join['rarg']].flatMap((side) => relationsOf(side as Node, frame));
}

export function columnNames(range: Node): (string | undefined)[] | undefined {
  const names = (range['alias'] as Node | undefined)?.['colnames'] as Node[] | undefined;
  return names?.map(stringOf);
}

/** An output under other column names. */
export function renamed(
  output: Output,
  names: readonly (string | undefined)[] | undefined,
): Output {
  if (names === undefined) return output;
  const columns = output.columns?.map(({ name, isKey }, at) => ({
    name: names[at] ?? name,
    isKey,
  }));
  const keys = new Set(columns?.filter(({ isKey }) => isKey).map(({ name }) => name));
  return { kind: output.kind, keys, columns };
}

export function outputOf(select: Node, kind: RelationKind, frame: Frame): Output {
  const keys = new Set<string>();
  const columns: { name: string; isKey: boolean }[] = [];
  let hasStar = false;
  for (const item of (select['targetList'] ?? []) as Node[]) {
    const target = item['ResTarget'] as Node;
    const value = target['val'] as Node;
    const fields = (value['ColumnRef'] as Node | undefined)?.['fields'] as Node[] | undefined;
    if (fields?.at(-1)?.['A_Star'] !== undefined) {
      hasStar = true;
      const alias = stringOf(fields.at(-2));
      for (const relation of frame.relations) {
        const isMeant = alias === undefined || relation.alias === alias;
        if (isMeant && relation.kind === 'sharded') for (const key of relation.keys) keys.add(key);
      }
      continue;
    }
    const name = (target['name'] as string | undefined) ?? stringOf(fields?.at(-1)) ?? '';
    const column = { name, isKey: isKey(value, frame) };
    if (column.isKey) keys.add(name);
    columns.push(column);
  }
  return { kind, keys, columns: hasStar ? undefined : columns };
}

export function areTied(
  a: readonly Relation[],
  b: readonly Relation[],
  known: Equalities,
): boolean {
  const termsOf = (relations: readonly Relation[]) =>
    relations.flatMap((relation) => [...relation.keys].map((key) => termOf(relation, key)));
  const right = termsOf(b);
  return termsOf(a).some((x) => right.some((y) => known.areEqual(x, y)));
}

/** Whether the rows of a subquery have the key of a row around it. */
export function isTiedOutside(sharded: readonly Relation[], frame: Frame): boolean {
  for (let outer = frame.outer; outer !== undefined; outer = outer.outer) {
    const around = outer.relations.filter(({ kind }) => kind === 'sharded');
    if (areTied(sharded, around, frame.equalities)) return true;
  }
  return false;
}
