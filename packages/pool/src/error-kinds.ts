import { codeOf } from './errors.js';

/** Whether an error says that the server or the way to it is at fault, and not the statement. */
export function isFaultOfServer(error: unknown): boolean {
  if (isFaultOfHolder(error)) return false;
  const code = codeOf(error) ?? '';
  return /^(POOL_(DIAL|CONNECTION_LOST|TRANSACTION_LOST|OUTCOME_UNKNOWN|ACQUIRE)|53|57P0)/.test(
    code,
  );
}

/** Whether an error says that the server may be gone or have restarted, rather than be full or busy. */
export function isLoss(error: unknown): boolean {
  if (isFaultOfHolder(error)) return false;
  const code = codeOf(error) ?? '';
  // A server that has no room for another connection, or refuses the password, is there and answers.
  if (/^(53|28)/.test(codeOf((error as { cause?: unknown }).cause) ?? '')) return false;
  return /^(POOL_(DIAL|CONNECTION_LOST|TRANSACTION_LOST|OUTCOME_UNKNOWN)|57P0)/.test(code);
}

/** Whether an error leaves open what became of a write. */
export function isUnknown(error: unknown): boolean {
  return codeOf(error) === 'POOL_OUTCOME_UNKNOWN';
}

/** Who leaves a transaction idle loses its connection, to the server or to us: that says nothing of the server. */
const IDLE_IN_TRANSACTION = new Set(['25P03', 'POOL_TRANSACTION_IDLE']);

/** Whether a connection was ended for what its holder did not do. */
export function isFaultOfHolder(error: unknown): boolean {
  const { cause } = (error ?? {}) as { cause?: unknown };
  return [error, cause].some((one) => IDLE_IN_TRANSACTION.has(codeOf(one) ?? ''));
}
