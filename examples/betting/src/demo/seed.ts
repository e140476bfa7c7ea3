import type { BettingLayer, LIMITS } from '../layer.js';

const BATCH = 1000;
/** Of every hundred users: a few pay, one is under suspicion, and most are on the free tier. */
function tierOf(userId: number): keyof typeof LIMITS {
  // A prime step, so that the users asked for most, who have the lowest numbers, are of every tier.
  const place = (userId * 37) % 100;
  if (place < 4) return 'premium';
  if (place < 19) return 'standard';
  return place === 99 ? 'suspicious' : 'free';
}

/** Loads users 1 to `count`, each onto the shard that owns its key. */
export async function loadUsers(
  layer: BettingLayer,
  count: number,
  onProgress: (loaded: number) => void,
): Promise<void> {
  for (let first = 1; first <= count; first += BATCH) {
    const size = Math.min(BATCH, count - first + 1);
    await layer.entities.users.insertMany(
      Array.from({ length: size }, (_, offset) => userRow(first + offset)),
    );
    onProgress(first + size - 1);
  }
}

function userRow(userId: number) {
  return {
    user_id: BigInt(userId),
    name: `user-${userId}`,
    tier: tierOf(userId),
    balance: 10_000n,
  };
}
