import type { RouteHint } from './statement-class.js';

/**
 * Hints are comments, so that they travel through every query builder and mean nothing to the server.
 * Only the very start and the very end of a text are looked at: a comment there cannot lie inside a
 * literal, wherever quotes and dollar quotes may stand in between.
 */
const LEADING = /^\s*\/\*\s*(primary|replica)\s*\*\//i;
const TRAILING = /\/\*\s*(primary|replica)\s*\*\/\s*;?\s*$/i;

/** The hint in a text, if it carries one. Of two that differ, `primary` counts. */
export function readHint(text: string): RouteHint | undefined {
  if (!text.includes('/*')) return undefined;
  const hints = [LEADING.exec(text)?.[1], TRAILING.exec(text)?.[1]].map((hint) =>
    hint?.toLowerCase(),
  );
  if (hints.includes('primary')) return 'primary';
  return hints.includes('replica') ? 'replica' : undefined;
}
