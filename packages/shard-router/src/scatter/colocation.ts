/**
 * Whether a SELECT gives the same rows shard by shard as it would over all rows at once (pure).
 *
 * Rows of one key live on one shard, so a join is whole on every shard exactly when the rows that it brings together
 * have one key. That is shown, not guessed: the equalities that a row must meet (WHERE, ON, USING) are put into
 * classes, and two sharded tables belong together if a key column of each is in one class. What is not shown so is
 * refused, since the missing rows would be missing silently. The same holds within: a subquery in an expression has
 * to be tied to the key of a row outside, and what is grouped, made distinct or cut off inside a subquery has to
 * have the key among what it is grouped by.
 *
 * Three rules that are easily missed:
 *   - ON of an outer join binds its nullable side and not the side that is kept, so `a, b LEFT JOIN c ON a.k = b.k`
 *     says nothing about a and b;
 *   - a reference table on the kept side of an outer join comes back from every shard, once each;
 *   - NOT IN over another key's rows is as wrong as IN, in the other direction.
 */

import type { ShardedTable } from '../keyspace.js';
import { Equalities } from '../sql/equalities.js';
import type { PinnedValue } from '../sql/pinned.js';
import {
  aliasOf,
  callsOf,
  functionName,
  HARMLESS_SETS,
  isTable,
  type NamedTable,
  type Node,
  stringOf,
} from '../sql/tree.js';
import { ADVICE, refused } from './refusal.js';
import {
  areTied,
  columnNames,
  type Frame,
  type Group,
  isKey,
  isTiedOutside,
  keyTerms,
  type Output,
  outputOf,
  type Relation,
  type RelationKind,
  renamed,
} from './relations.js';
import { type ListedKeys, StatedEqualities } from './stated-equalities.js';
import { checkLimit, checkWhole } from './whole-subquery.js';

/** What is declared of tables. */
export interface ColocationScope {
  /** The sharded tables of the keyspace. */
  readonly tables: readonly ShardedTable[];
  readonly referenceTables: readonly NamedTable[];
  /** Tables that do not lie beside those of the keyspace, and where they are. */
  readonly elsewhere: readonly (NamedTable & { readonly where: string })[];
}

/** What a statement reads, and which keys it names. */
export interface Colocation {
  /** `sharded`: rows of sharded tables. `same`: what every shard gives alike. `opaque`: who knows. */
  readonly kind: RelationKind;
  /** The key that all its sharded rows have, if the statement names one. */
  readonly key: PinnedValue | undefined;
  /** The keys that its sharded rows may have, if it names several: a list, or a parameter that holds one. */
  readonly keys: ListedKeys | undefined;
}

/** What a SELECT is to those around it: its own rows are wanted, or only in relation to the rows outside. */
type Role = 'top' | 'rows' | 'expression';

/**
 * Analyses a SELECT, or what an UPDATE or DELETE reads when written as one.
 *
 * @throws ShardlineError `SCATTER_REFUSED` with advice, if rows of several shards would have to meet.
 */
export function analyseColocation(select: Node, scope: ColocationScope): Colocation {
  return new Analysis(scope).top(select);
}

class Analysis {
  readonly #scope: ColocationScope;
  readonly #stated = new StatedEqualities();
  #ids = 0;
  #readsReference = false;

  constructor(scope: ColocationScope) {
    this.#scope = scope;
  }

  top(select: Node): Colocation {
    const frames: Frame[] = [];
    const { kind } = this.#select(select, undefined, new Map(), 'top', frames);
    if (kind === 'same' && this.#readsReference) {
      throw refused(
        'it reads reference tables alone, whose rows every shard would give once more; read them by `router.reference`',
      );
    }
    const [frame] = frames;
    if (frame === undefined || frames.length > 1) return { kind, key: undefined, keys: undefined };
    const isOfKey = (term: string) =>
      keyTerms(frame).some((key) => frame.equalities.areEqual(key, term));
    return { kind, key: this.#stated.pinned(isOfKey), keys: this.#stated.listed(isOfKey) };
  }

  #select(
    select: Node,
    outer: Frame | undefined,
    outerCtes: ReadonlyMap<string, Output>,
    role: Role,
    frames?: Frame[],
  ): Output {
    const ctes = new Map(outerCtes);
    this.#with(select['withClause'] as Node | undefined, outer, ctes);
    const op = select['op'];
    if (op !== undefined && op !== 'SETOP_NONE') {
      return this.#setOperation(select, outer, ctes, role, frames);
    }
    const equalities = outer?.equalities.fork() ?? new Equalities();
    const frame: Frame = { relations: [], outer, ctes, equalities, byItem: new Map() };
    frames?.push(frame);
    const from = (select['fromClause'] ?? []) as Node[];
    for (const item of from) this.#declare(item, frame);
    this.#stated.equate(select['whereClause'], frame, equalities);
    const group = this.#linkAll(
      from.map((item) => this.#link(item, frame, equalities)),
      equalities,
    );
    for (const [clause, value] of Object.entries(select)) {
      if (clause !== 'fromClause' && clause !== 'withClause') this.#subqueries(value, frame);
    }
    const isTied = group.sharded.length > 0 && isTiedOutside(group.sharded, frame);
    if (group.sharded.length > 0 && !isTied && role !== 'top') {
      checkWhole(select, frame);
    }
    const output = outputOf(select, group.kind, frame);
    // Its rows hang on the rows outside: wherever those are, these are too.
    return isTied ? { ...output, kind: 'opaque' } : output;
  }

  #with(withClause: Node | undefined, outer: Frame | undefined, ctes: Map<string, Output>): void {
    for (const item of (withClause?.['ctes'] ?? []) as Node[]) {
      const cte = item['CommonTableExpr'] as Node;
      const name = cte['ctename'] as string;
      const query = (cte['ctequery'] as Node)['SelectStmt'] as Node | undefined;
      if (query === undefined) continue;
      const columns = (cte['aliascolnames'] as Node[] | undefined)?.map(stringOf);
      if (withClause?.['recursive'] === true && query['larg'] !== undefined) {
        const first = this.#select(query['larg'] as Node, outer, ctes, 'rows');
        ctes.set(name, renamed(first, columns));
      }
      ctes.set(name, renamed(this.#select(query, outer, ctes, 'rows'), columns));
    }
  }

  #setOperation(
    select: Node,
    outer: Frame | undefined,
    ctes: ReadonlyMap<string, Output>,
    role: Role,
    frames: Frame[] | undefined,
  ): Output {
    const left = this.#select(select['larg'] as Node, outer, ctes, role, frames);
    const right = this.#select(select['rarg'] as Node, outer, ctes, role, frames);
    const kinds = [left.kind, right.kind];
    const isSharded = kinds.includes('sharded');
    if (isSharded && kinds.includes('same')) {
      throw refused(
        `one side of its ${setName(select)} is the same on every shard and would come back from each; ask for it apart, ${ADVICE}`,
      );
    }
    const columns = left.columns?.map(({ name, isKey }, at) => ({
      name,
      isKey: isKey && right.columns?.[at]?.isKey === true,
    }));
    const output: Output = {
      kind: isSharded ? 'sharded' : kinds.includes('opaque') ? 'opaque' : 'same',
      keys: new Set(columns?.filter(({ isKey }) => isKey).map(({ name }) => name)),
      columns,
    };
    const isUnionAll = select['op'] === 'SETOP_UNION' && select['all'] === true;
    if (isSharded && role !== 'top') {
      if (!isUnionAll && output.keys.size === 0) {
        throw refused(
          `its ${setName(select)} compares rows that may lie on different shards; put the key among the columns of both sides, ${ADVICE}`,
        );
      }
      checkLimit(select);
    }
    return output;
  }

  // What the FROM gives.

  #declare(item: Node, frame: Frame): void {
    const [kind] = Object.keys(item);
    const node = item[kind as string] as Node;
    if (kind === 'JoinExpr') {
      this.#declare(node['larg'] as Node, frame);
      this.#declare(node['rarg'] as Node, frame);
      return;
    }
    const relation = this.#relation(kind as string, node, frame);
    frame.relations.push(relation);
    frame.byItem.set(item, relation);
  }

  #relation(kind: string, node: Node, frame: Frame): Relation {
    const id = this.#ids;
    this.#ids += 1;
    if (kind === 'RangeVar') return { id, alias: aliasOf(node), ...this.#table(node, frame) };
    const alias = (node['alias'] as { aliasname?: string } | undefined)?.aliasname ?? '';
    if (kind === 'RangeSubselect') {
      const query = (node['subquery'] as Node)['SelectStmt'] as Node;
      const isLateral = node['lateral'] === true;
      const output = this.#select(query, isLateral ? frame : frame.outer, frame.ctes, 'rows');
      return { id, alias, ...renamed(output, columnNames(node)) };
    }
    if (kind === 'RangeFunction') {
      const isKnown = callsOf(node['functions']).every((call) =>
        HARMLESS_SETS.has(functionName(call)),
      );
      return { id, alias, kind: isKnown ? 'same' : 'opaque', keys: new Set() };
    }
    return { id, alias, kind: 'opaque', keys: new Set() };
  }

  #table(range: Node, frame: Frame): Pick<Relation, 'kind' | 'keys'> {
    const cte =
      range['schemaname'] === undefined ? frame.ctes.get(range['relname'] as string) : undefined;
    if (cte !== undefined) return renamed(cte, columnNames(range));
    const sharded = this.#scope.tables.find((table) => isTable(table, range));
    if (sharded !== undefined) {
      // An alias that renames columns hides which of them is the key.
      return {
        kind: 'sharded',
        keys: new Set(columnNames(range) === undefined ? [sharded.key] : []),
      };
    }
    const elsewhere = this.#scope.elsewhere.find((table) => isTable(table, range));
    if (elsewhere !== undefined) {
      throw refused(`'${elsewhere.name}' ${elsewhere.where}; ask for it apart, ${ADVICE}`);
    }
    const isReference = this.#scope.referenceTables.some((table) => isTable(table, range));
    if (isReference) this.#readsReference = true;
    return { kind: isReference ? 'same' : 'opaque', keys: new Set() };
  }

  /** One item of the FROM, all of whose sharded rows belong together; `known` holds for every row that it gives. */
  #link(item: Node, frame: Frame, known: Equalities): Group {
    const join = item['JoinExpr'] as Node | undefined;
    if (join === undefined) {
      const relation = frame.byItem.get(item) as Relation;
      this.#subqueries((item['RangeFunction'] as Node | undefined)?.['functions'], frame);
      return {
        kind: relation.kind,
        sharded: relation.kind === 'sharded' ? [relation] : [],
      };
    }
    const { larg, rarg, jointype } = join as { larg: Node; rarg: Node; jointype: string };
    const matched = known.fork();
    this.#stated.equate(join['quals'], frame, matched);
    this.#stated.equateUsing(join, frame, matched);
    const keepsLeft = jointype === 'JOIN_LEFT' || jointype === 'JOIN_FULL';
    const keepsRight = jointype === 'JOIN_RIGHT' || jointype === 'JOIN_FULL';
    const left = this.#link(larg, frame, keepsLeft ? known : matched);
    const right = this.#link(rarg, frame, keepsRight ? known : matched);
    this.#subqueries(join['quals'], frame);
    if (keepsLeft) checkKept(left, right);
    if (keepsRight) checkKept(right, left);
    return this.#linkAll([left, right], matched);
  }

  /** @throws if two of the groups have sharded rows that nothing ties together. */
  #linkAll(groups: readonly Group[], known: Equalities): Group {
    const kind = groups.some((group) => group.kind === 'sharded')
      ? 'sharded'
      : groups.some((group) => group.kind === 'opaque')
        ? 'opaque'
        : 'same';
    const [first, ...others] = groups
      .map(({ sharded }) => sharded)
      .filter(({ length }) => length > 0);
    let linked = first ?? [];
    let left = others;
    while (left.length > 0) {
      const next = left.find((other) => areTied(linked, other, known));
      if (next === undefined) throw notTied(linked[0] as Relation, left[0]?.[0] as Relation);
      linked = [...linked, ...next];
      left = left.filter((other) => other !== next);
    }
    return { kind, sharded: linked };
  }

  // Subqueries in expressions.

  /** Subqueries of an expression, those within them left to themselves. */
  #subqueries(node: unknown, frame: Frame): void {
    if (Array.isArray(node)) {
      for (const item of node) this.#subqueries(item, frame);
      return;
    }
    if (typeof node !== 'object' || node === null) return;
    for (const [key, value] of Object.entries(node)) {
      if (key === 'SubLink') this.#subquery(value as Node, frame);
      else if (key !== 'SelectStmt') this.#subqueries(value, frame);
    }
  }

  #subquery(link: Node, frame: Frame): void {
    this.#subqueries(link['testexpr'], frame);
    const query = (link['subselect'] as Node)['SelectStmt'] as Node;
    const isIn = this.#isTiedByIn(link, query, frame);
    const { kind } = this.#select(query, frame, frame.ctes, isIn ? 'rows' : 'expression');
    if (kind !== 'sharded' || isIn) return;
    throw refused(
      `a subquery in it reads a sharded table without being tied to the key of a row outside; add that equality to its WHERE, ${ADVICE}`,
    );
  }

  /** `key IN (SELECT key …)` and `key <> ALL (SELECT key …)`: no row of another shard could matter. */
  #isTiedByIn(link: Node, query: Node, frame: Frame): boolean {
    const type = link['subLinkType'];
    const operator = stringOf((link['operName'] as Node[] | undefined)?.[0]) ?? '=';
    const isIn =
      (type === 'ANY_SUBLINK' && operator === '=') || (type === 'ALL_SUBLINK' && operator === '<>');
    if (!isIn) return false;
    const test = link['testexpr'] as Node;
    const sides = ((test['RowExpr'] as Node | undefined)?.['args'] as Node[] | undefined) ?? [test];
    const { columns } = this.#select(query, frame, frame.ctes, 'top');
    return sides.some((side, at) => columns?.[at]?.isKey === true && isKey(side, frame));
  }
}

function notTied(a: Relation, b: Relation) {
  const columnOf = ({ alias, keys }: Relation) => `${alias}.${[...keys][0] ?? '<key>'}`;
  return refused(
    `it joins '${a.alias}' and '${b.alias}', whose rows may lie on different shards, other than by their key; join on ${columnOf(a)} = ${columnOf(b)}, ask for each apart, ${ADVICE}`,
  );
}

/** A row that is kept without a match comes back from every shard that has none. */
function checkKept(kept: Group, other: Group): void {
  if (kept.kind !== 'same' || other.kind !== 'sharded') return;
  throw refused(
    `an outer join keeps rows that are the same on every shard, and each shard would give them; turn the join round, ${ADVICE}`,
  );
}

function setName(select: Node): string {
  return String(select['op']).replace('SETOP_', '');
}
