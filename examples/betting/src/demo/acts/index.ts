import type { Act } from '../stage.js';
import { addShard } from './add-shard.js';
import { finalCount } from './final-count.js';
import { freezeRedis } from './freeze-redis.js';
import { killPrimary } from './kill-primary.js';
import { killReplica } from './kill-replica.js';
import { runIntoLimits } from './run-into-limits.js';
import { updateEverywhere } from './update-everywhere.js';
import { warmUp } from './warm-up.js';

/** The acts, in the order in which they are played. */
export const ACTS: readonly Act[] = [
  warmUp,
  updateEverywhere,
  runIntoLimits,
  addShard,
  killReplica,
  killPrimary,
  freezeRedis,
  finalCount,
];
