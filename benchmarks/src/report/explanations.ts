import type { TargetId } from '../targets.js';

/**
 * Why a line of the targets falls short where it does, and what would close the gap: shown beside the line when it
 * does fall short. Each sentence rests on a profile (`npm run profile -- SCENARIO`), and says what it showed.
 */
export const explanations: Partial<Record<TargetId, string>> = {
  'cache/l2-hit':
    'Profiled while a hit still passed nine promises, a fifth of its CPU was garbage collection, a tenth JSON.parse (which ' +
    'the raw GET leaves out) and a tenth the write of the MGET itself. Seven promises are left between `get` and the reply, ' +
    'four of them async functions (namespace, slow read, glance, look): joining these would close more of it.',
};
