import { ShardlineError } from '@shardline/core';
import { cacheErrors } from '../errors.js';

/**
 * Patterns in one step: which stamps a key depends on by its shape, and which stamp a pattern bumps.
 *
 * A namespace says how its keys are built: `keys: '{userId}:{status}:{page}'`. Each entry then depends,
 * besides the namespace itself, on a stamp for each beginning (`42:*`, `42:open:*`) and one for each
 * further part alone (`*:open:*`, `*:*:3`). So a pattern that fixes a beginning, or exactly one
 * part, is one new stamp, however many keys it covers. Any other would need a search through all keys.
 */

/** The stamp of the whole namespace. */
export const NAMESPACE_STAMP = 'n';

const ONLY_NAMESPACE: readonly string[] = [NAMESPACE_STAMP];

export class KeyTemplate {
  readonly parts: number;

  constructor(template: string) {
    this.parts = template.split(':').length;
  }

  /** Stamps that the key depends on by its shape. */
  stampsOf(key: string): readonly string[] {
    if (this.parts === 1) return ONLY_NAMESPACE;
    const names = [NAMESPACE_STAMP];
    const parts = key.split(':');
    for (let length = 1; length < Math.min(parts.length, this.parts); length += 1) {
      names.push(`p:${parts.slice(0, length).join(':')}`);
    }
    for (let index = 1; index < Math.min(parts.length, this.parts); index += 1) {
      names.push(`a:${index}:${parts[index]}`);
    }
    return names;
  }

  /**
   * The stamp that a pattern stands for.
   *
   * @throws ShardlineError `CACHE_PATTERN_UNSUPPORTED`, saying what could be done instead.
   */
  stampOfPattern(namespace: string, pattern: string): string {
    const parts = pattern.split(':');
    if (parts.some((part) => part !== '*' && /[*?[\]]/.test(part))) {
      throw unsupported(namespace, pattern, 'mixes a wildcard with text in one part');
    }
    const fixed = parts.flatMap((part, index) => (part === '*' ? [] : [index]));
    if (fixed.length === 0) return NAMESPACE_STAMP;
    if (this.parts === 1) {
      throw unsupported(
        namespace,
        pattern,
        'fixes a part of the key, but no `keys` template is declared',
      );
    }
    const lastFixed = fixed.at(-1) as number;
    if (lastFixed >= this.parts || parts.length > this.parts) {
      throw unsupported(namespace, pattern, `has more parts than the template's ${this.parts}`);
    }
    if (fixed.length === lastFixed + 1 && parts.length > fixed.length) {
      return `p:${parts.slice(0, fixed.length).join(':')}`;
    }
    if (fixed.length === 1 && parts.length === this.parts)
      return `a:${lastFixed}:${parts[lastFixed]}`;
    throw unsupported(namespace, pattern, 'fixes several parts that are not the beginning');
  }
}

function unsupported(namespace: string, pattern: string, why: string): ShardlineError {
  return new ShardlineError(
    cacheErrors.CACHE_PATTERN_UNSUPPORTED,
    `The pattern '${namespace}:${pattern}' ${why}.`,
  );
}
