import type { Equalities } from '../sql/equalities.js';
import { type PinnedValue, pinOf, typeNames } from '../sql/pinned.js';
import { type Node, stringOf } from '../sql/tree.js';
import { columnTerm, type Frame, relationsOf, termOf } from './relations.js';

/** Keys that a statement lists: one by one, or as a parameter that holds an array. */
export type ListedKeys = readonly PinnedValue[] | { readonly listParameter: number };

/** Reads from conditions what they state to be equal, and remembers the values that they name. */
export class StatedEqualities {
  readonly #pins = new Map<string, PinnedValue>();
  readonly #lists: { readonly term: string; readonly keys: ListedKeys }[] = [];

  /** The value that is named for one of the terms that the test accepts. */
  pinned(test: (term: string) => boolean): PinnedValue | undefined {
    return [...this.#pins].find(([term]) => test(term))?.[1];
  }

  /** The list of values that is named for one of the terms that the test accepts. */
  listed(test: (term: string) => boolean): ListedKeys | undefined {
    return this.#lists.find(({ term }) => test(term))?.keys;
  }

  /** Learns what a condition states, as far as every row meets it. */
  equate(node: unknown, frame: Frame, into: Equalities): void {
    const { BoolExpr: bool, A_Expr: expression } = (node ?? {}) as Record<string, Node | undefined>;
    if (bool?.['boolop'] === 'AND_EXPR') {
      for (const arg of bool['args'] as Node[]) this.equate(arg, frame, into);
    }
    if (expression === undefined || stringOf((expression['name'] as Node[])[0]) !== '=') return;
    const { kind, lexpr, rexpr } = expression as { kind: string; lexpr: Node; rexpr: Node };
    if (kind !== 'AEXPR_OP') {
      this.#noteList(kind, lexpr, rexpr, frame);
      return;
    }
    const rows = [lexpr, rexpr].map(
      (side) => ((side['RowExpr'] as Node | undefined)?.['args'] as Node[] | undefined) ?? [side],
    ) as [Node[], Node[]];
    for (const [at, one] of rows[0].entries()) {
      const a = this.#term(one, frame);
      const b = this.#term(rows[1][at], frame);
      if (a !== undefined && b !== undefined) into.join(a, b);
    }
  }

  /** `key IN ($1, $2)` and `key = ANY ($1)` name the keys, though they make nothing equal. */
  #noteList(kind: string, column: Node, list: Node, frame: Frame): void {
    const term = this.#term(column, frame);
    if (term === undefined || frame.outer !== undefined) return;
    if (kind === 'AEXPR_OP_ANY') {
      const value = pinOf(list);
      if (value !== undefined && 'parameter' in value) {
        this.#lists.push({ term, keys: { listParameter: value.parameter } });
      }
    } else if (kind === 'AEXPR_IN') {
      const keys = ((list['List'] as Node)['items'] as Node[]).map(pinOf);
      if (keys.every((key) => key !== undefined)) this.#lists.push({ term, keys });
    }
  }

  /** A name for a column, a parameter or a constant; undefined for any other expression. */
  #term(node: Node | undefined, frame: Frame): string | undefined {
    const column = node?.['ColumnRef'] as Node | undefined;
    if (column !== undefined) return columnTerm(column, frame);
    const pinned = pinOf(node);
    if (pinned === undefined) return undefined;
    const term = JSON.stringify([pinned, typeNames(node)]);
    this.#pins.set(term, pinned);
    return term;
  }

  /** Learns what USING and NATURAL state of keys. */
  equateUsing(join: Node, frame: Frame, into: Equalities): void {
    const left = relationsOf(join['larg'] as Node, frame);
    const right = relationsOf(join['rarg'] as Node, frame);
    const names = ((join['usingClause'] ?? []) as Node[]).map(stringOf);
    for (const a of left) {
      for (const key of a.keys) {
        if (!names.includes(key) && join['isNatural'] !== true) continue;
        const b = right.find((relation) => relation.keys.has(key));
        if (b !== undefined) into.join(termOf(a, key), termOf(b, key));
      }
    }
  }
}
