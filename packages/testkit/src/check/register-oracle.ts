/**
 * The slow truth for the register checker's tests: tries every linearization of a small history.
 *
 * An operation may come next if no other that is still to come had returned before it began. Failed
 * writes are left out; unknown writes may come, or never.
 */
import { effectiveReturnNs, isWrite, type Operation } from './operation.js';

/** Whether some order of at most some twelve operations of one key explains every read. */
export function hasLinearization(
  operations: readonly Operation[],
  initial: string | null,
): boolean {
  const candidates = operations.filter(
    (operation) =>
      (isWrite(operation) && operation.outcome !== 'fail') ||
      (operation.kind === 'read' && operation.outcome === 'ok'),
  );
  const required = candidates.reduce(
    (mask, operation, index) => (operation.outcome === 'ok' ? mask | (1 << index) : mask),
    0,
  );
  const dead = new Set<string>();
  const search = (done: number, value: string | null): boolean => {
    if ((done & required) === required) return true;
    const state = `${done} ${value}`;
    if (dead.has(state)) return false;
    dead.add(state);
    return candidates.some((operation, index) => {
      if (done & (1 << index)) return false;
      if (!mayComeNext(operation, candidates, done)) return false;
      if (operation.kind === 'read') {
        return operation.value === value && search(done | (1 << index), value);
      }
      return search(done | (1 << index), operation.value ?? null);
    });
  };
  return search(0, initial);
}

/** Whether no operation that is still to come had returned before this one began. */
export function mayComeNext(
  operation: Operation,
  candidates: readonly Operation[],
  done: number,
): boolean {
  return candidates.every(
    (other, index) =>
      other === operation ||
      (done & (1 << index)) !== 0 ||
      effectiveReturnNs(other) >= operation.invokedNs,
  );
}
