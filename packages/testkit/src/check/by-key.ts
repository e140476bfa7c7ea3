import type { Operation } from './operation.js';
import { requireField } from './require-field.js';

/** Operations by their key, each list in the order given. */
export function byKey(operations: readonly Operation[]): Map<string, Operation[]> {
  const groups = new Map<string, Operation[]>();
  for (const operation of operations) {
    const key = requireField(operation, 'key');
    const group = groups.get(key);
    if (group) group.push(operation);
    else groups.set(key, [operation]);
  }
  return groups;
}
