import { hasSqlDetails, loadModule, parseSync } from 'libpg-query';

/**
 * PostgreSQL's own parser, as WebAssembly, kept within bounds.
 *
 * It recurses on its stack, and a stack that overflows inside WebAssembly unwinds without giving back
 * what it had reserved there. So texts that could nest deeper than any stack holds are refused before
 * they reach it: nesting needs an operator, a bracket or one of a few words per level, and those are
 * counted. What is refused is merely not known to be a read, and goes to the primary.
 *
 * The grammar reads with `standard_conforming_strings` on, as every server since 9.1 does by default.
 */

/** Longer texts are bulk writes far more often than reads, and parsing costs about 0.4 us a byte. */
const LONGEST_TEXT = 65_536;
/** Chains of 5000 operators overflow the default stack of Node 20 in code that is not yet optimised. */
const MOST_NESTING_TOKENS = 1500;

const NESTING_WORDS = /\b(?:select|union|except|intersect|not|case|with|join|is|collate)\b/gi;
const NESTING_CHARACTERS = new Set([...'([+-*/<>=~!@#%^&|`?:'].map((c) => c.charCodeAt(0)));

/** A node of the parse tree: fields by name, or one field that names the type of what it holds. */
export type TreeNode = Readonly<Record<string, unknown>>;

/** What came of reading a text. */
export type Parsed =
  | { readonly ok: true; readonly statements: readonly TreeNode[] }
  | { readonly ok: false; readonly reason: string };

let isLoaded = false;
let loading: Promise<void> | undefined;

/** Loads the grammar, once per process. Until then every statement is `unknown`. */
export function loadGrammar(): Promise<void> {
  loading ??= loadModule().then(() => {
    isLoaded = true;
  });
  return loading;
}

/** Whether `parseStatements` can read anything yet. */
export function isGrammarLoaded(): boolean {
  return isLoaded;
}

/** Reads a text into the trees of its statements. */
export function parseStatements(text: string): Parsed {
  if (!isLoaded) return { ok: false, reason: 'the grammar is not loaded yet' };
  const refusal = whyNotParse(text);
  if (refusal !== undefined) return { ok: false, reason: refusal };
  if (text === '') return { ok: true, statements: [] };
  try {
    const { stmts = [] } = parseSync(text) as { stmts?: { stmt?: TreeNode }[] };
    return { ok: true, statements: stmts.map(({ stmt }) => stmt ?? {}) };
  } catch (error) {
    // A syntax error is the server's to report. Anything else means the parser could not cope, which is
    // no reason to fail a statement that the server may well understand.
    return { ok: false, reason: hasSqlDetails(error) ? 'a syntax error' : 'not parsable here' };
  }
}

function whyNotParse(text: string): string | undefined {
  if (text.length > LONGEST_TEXT) return `longer than ${LONGEST_TEXT} characters`;
  if (text.includes('\0')) return 'it holds a NUL character';
  if (text.length > MOST_NESTING_TOKENS && countNestingTokens(text) > MOST_NESTING_TOKENS) {
    return 'it may nest too deeply';
  }
  return undefined;
}

function countNestingTokens(text: string): number {
  let count = text.match(NESTING_WORDS)?.length ?? 0;
  for (let index = 0; index < text.length; index += 1) {
    if (NESTING_CHARACTERS.has(text.charCodeAt(index))) count += 1;
  }
  return count;
}
