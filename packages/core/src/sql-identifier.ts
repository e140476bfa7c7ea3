import { coreErrors, ShardlineError } from './errors.js';

/**
 * The one place that writes names and values into SQL text.
 *
 * Parameters carry values wherever PostgreSQL takes them; these functions are for where it does not:
 * DDL, publications, triggers. Every other module calls them and joins no quotes of its own: each
 * escape bug of the field (drizzle-orm CVE-2026-39356, kysely CVE-2026-32763, PostgreSQL's own
 * CVE-2026-6638) was a second place that did. The tests parse what comes out with PostgreSQL's own
 * grammar and compare it with what went in.
 */

/** PostgreSQL cuts longer names short without a word, and two names may become one. */
const MAX_IDENTIFIER_BYTES = 63;

/**
 * A name, quoted.
 *
 * @throws ShardlineError `IDENTIFIER_INVALID` for an empty name, one over 63 bytes, NUL, lone surrogates.
 */
export function quoteIdentifier(name: string): string {
  const fault = identifierFault(name);
  if (fault !== undefined) {
    throw new ShardlineError(
      coreErrors.IDENTIFIER_INVALID,
      `The name ${JSON.stringify(name)} ${fault}.`,
    );
  }
  return `"${name.replaceAll('"', '""')}"`;
}

/** A name within a schema, both quoted. */
export function quoteQualified(schema: string, name: string): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}

/** A text literal. Correct whether or not `standard_conforming_strings` is on. */
export function quoteLiteral(text: string): string {
  const fault = textFault(text);
  if (fault !== undefined) {
    throw new ShardlineError(coreErrors.IDENTIFIER_INVALID, `A text for SQL ${fault}.`);
  }
  const quoted = text.replaceAll("'", "''");
  // ` E'` with its blank: glued to a preceding word, the E would be part of that word.
  return text.includes('\\') ? ` E'${quoted.replaceAll('\\', '\\\\')}'` : `'${quoted}'`;
}

/**
 * An integer literal. A negative one stands in parentheses: after another minus it would otherwise
 * begin a comment (CVE-2024-1597), and `::` binds tighter than a sign.
 */
export function quoteInteger(value: number | bigint): string {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new ShardlineError(
      coreErrors.IDENTIFIER_INVALID,
      `${value} is no whole number that SQL could take exactly.`,
      { remedy: 'Pass a bigint, or a number within plus or minus 2^53.' },
    );
  }
  return value < 0 ? `(${value})` : `${value}`;
}

function identifierFault(name: string): string | undefined {
  if (typeof name !== 'string') return `is a ${typeof name}, not a text`;
  if (name === '') return 'is empty';
  const bytes = Buffer.byteLength(name);
  if (bytes > MAX_IDENTIFIER_BYTES) {
    return `has ${bytes} bytes; PostgreSQL would cut it to ${MAX_IDENTIFIER_BYTES}`;
  }
  return textFault(name);
}

function textFault(text: string): string | undefined {
  if (typeof text !== 'string') return `is a ${typeof text}, not a text`;
  if (text.includes('\0')) return 'holds a NUL character';
  if (!text.isWellFormed()) return 'holds half a surrogate pair';
  return undefined;
}
