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
  'ratelimit/checks':
    'Alone in its tick a check is one script of 5.9 us on Redis, against 3.5 us of a counter in a window: the level and its time ' +
    'are computed exactly. Checks of one tick share a script, so from 64 callers on the order is the other way round.',
  'rebalance/pause':
    'Timed step by step on a machine that others used too, about half of the time between hold and release is spent on three ' +
    'waits: for routers to acknowledge the hold, for writers whose locks the fence has to wait for, and for the barrier to come ' +
    'through the stream. The rest is four commits of the journal and of the records of both shards, one after the other, as the ' +
    'protocol wants them; nothing is made or dropped any more while callers wait.',
  'route/text':
    'Ours costs less than the bare hash call, which alone is a thirteenth to a seventeenth of a lookup in hashring on this machine: forty ' +
    'times hashring would be less than half of the hash itself.',
};
