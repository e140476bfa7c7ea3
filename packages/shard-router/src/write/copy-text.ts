import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';

/**
 * COPY's text format: one line a row, tabs between columns, backslashes before what would end either.
 *
 * @throws ShardlineError `KEY_INVALID` for a value that COPY has no text for.
 */
export function copyLine(values: readonly unknown[]): string {
  return `${values.map(copyField).join('\t')}\n`;
}

function copyField(value: unknown): string {
  if (value === null || value === undefined) return '\\N';
  return copyText(value).replace(/[\\\b\f\n\r\t\v]/g, (character) => ESCAPES[character] as string);
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

function copyText(value: unknown): string {
  switch (typeof value) {
    case 'string':
      if (value.includes('\0')) throw unwritable('a text with a NUL character');
      return value;
    case 'number':
    case 'bigint':
      return String(value);
    case 'boolean':
      return value ? 't' : 'f';
    case 'object':
      if (value instanceof Date) return value.toISOString();
      if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
      if (Array.isArray(value)) return arrayText(value);
      return JSON.stringify(value);
    default:
      throw unwritable(`a ${typeof value}`);
  }
}

/** PostgreSQL's text of an array: every element quoted, so that none can be taken for NULL or for a brace. */
function arrayText(values: readonly unknown[]): string {
  const elements = values.map((value) => {
    if (value === null || value === undefined) return 'NULL';
    if (Array.isArray(value)) return arrayText(value);
    return `"${copyText(value).replace(/["\\]/g, '\\$&')}"`;
  });
  return `{${elements.join(',')}}`;
}

function unwritable(what: string): ShardlineError {
  return new ShardlineError(routerErrors.KEY_INVALID, `COPY cannot write ${what}.`, {
    remedy: 'Convert the value before copying.',
  });
}
