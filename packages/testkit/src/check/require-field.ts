import { MalformedHistoryError } from './malformed-history-error.js';
import type { Operation } from './operation.js';

/** A field that a checker cannot do without. */
export function requireField<Name extends keyof Operation>(
  operation: Operation,
  name: Name,
): NonNullable<Operation[Name]> {
  const value = operation[name];
  if (value === undefined || value === null) {
    throw new MalformedHistoryError(
      `operation ${operation.op} (${operation.kind}, ${operation.outcome}) has no ${name}`,
    );
  }
  return value;
}
