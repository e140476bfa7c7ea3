import type { OperationName, Outcome } from '../bucket/operation.js';
import type { LimitPart } from './decision.js';
import type { LimiterCore } from './limiter-core.js';

/** Operations that change levels rather than ask for admission. */
export type ChangeName = Extract<OperationName, 'refund' | 'penalize' | 'reset' | 'block'>;

/**
 * Makes a change and waits until it is made. There is no fallback: a change that Redis has not made is an
 * error, and one whose outcome is unknown says so.
 */
export function makeChange(
  core: LimiterCore,
  name: ChangeName,
  parts: readonly LimitPart[],
): Promise<Outcome> {
  // Dropped before and after: a denial on its way meanwhile must not be believed either.
  const drop = () => {
    for (const { key } of parts) core.denialCache?.drop(key);
  };
  drop();
  return new Promise((resolve, reject) => {
    core.store.run(
      { name, parts },
      {
        succeed: (outcome) => {
          drop();
          resolve(outcome);
        },
        fail: (error) => {
          drop();
          reject(error);
        },
      },
    );
  });
}
