import { type Node, stringOf } from './tree.js';

/** A value that a key is stated to have: a parameter by its number, or a constant. */
export type PinnedValue = { readonly parameter: number } | { readonly constant: string };

/** The value of a parameter or a constant, a cast of it included. */
export function pinOf(node: Node | undefined): PinnedValue | undefined {
  const cast = node?.['TypeCast'] as Node | undefined;
  if (cast !== undefined) return pinOf(cast['arg'] as Node);
  const parameter = (node?.['ParamRef'] as { number?: number } | undefined)?.number;
  if (parameter !== undefined) return { parameter };
  const constant = node?.['A_Const'] as Node | undefined;
  if (constant === undefined || constant['isnull'] === true) return undefined;
  const { sval, ival, fval } = constant as Record<string, Record<string, unknown> | undefined>;
  if (sval !== undefined) return { constant: String(sval['sval'] ?? '') };
  // The grammar leaves a zero out.
  if (ival !== undefined) return { constant: String(ival['ival'] ?? 0) };
  return fval === undefined ? undefined : { constant: String(fval['fval']) };
}

/** Two casts of one parameter need not be equal. */
export function typeNames(node: Node | undefined): unknown {
  const cast = node?.['TypeCast'] as Node | undefined;
  const type = cast?.['typeName'] as Node | undefined;
  return (type?.['names'] as Node[] | undefined)?.map(stringOf);
}
