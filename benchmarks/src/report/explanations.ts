import type { TargetId } from '../targets.js';

/**
 * Why a line of the targets falls short where it does, and what would close the gap: shown beside the line when it
 * does fall short. Each sentence rests on a profile (`npm run profile -- SCENARIO`), and says what it showed.
 */
export const explanations: Partial<Record<TargetId, string>> = {
  'cache/l2-hit':
    'Of the CPU per hit a fifth is garbage collection, a tenth JSON.parse (which the raw GET leaves out) and a tenth the ' +
    'write of the MGET itself; the rest is spread over six awaits between `get` and the reply. Fewer awaits and objects ' +
    'per look (reader, level, guarded tier) would close most of it.',
};
