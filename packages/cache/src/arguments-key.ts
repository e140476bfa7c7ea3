import type { CacheKey } from './call-options.js';

/** The key of a function's arguments: of one itself, of several joined by colons. */
export function argumentsKey(parts: readonly CacheKey[]): string {
  return parts.map((part) => encodePart(part, parts.length)).join(':');
}

function encodePart(part: CacheKey, parts: number): string {
  const text = String(part);
  // With several parts a colon inside one must not make two different calls the same key.
  return parts === 1 ? text : text.replaceAll('%', '%25').replaceAll(':', '%3A');
}
