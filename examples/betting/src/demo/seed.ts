import type { LIMITS } from '../config.js';
import type { BettingLayer } from '../layer.js';
import { type DemoSizes, INITIAL_BALANCE, LIVE_EVENTS } from './sizes.js';

type Tier = keyof typeof LIMITS;

const BATCH = 1000;

/**
 * Users of the load are on the highest tier: it is to be slowed down by the servers, not by their limits. Who runs into a
 * limit has a number beyond theirs.
 */
const SUBJECTS: readonly Tier[] = ['suspicious', 'free', 'standard', 'premium'];

/** All users there are. */
export function userCount({ users }: DemoSizes): number {
  return users + SUBJECTS.length;
}

/** The user of a tier who will run into its limit. */
export function subjectOf(tier: Tier, { users }: DemoSizes): number {
  return users + 1 + SUBJECTS.indexOf(tier);
}

/** Loads all users and live events, each onto the shard that owns its key. */
export async function loadRows(
  layer: BettingLayer,
  sizes: DemoSizes,
  onProgress: (loaded: number) => void,
): Promise<void> {
  const total = userCount(sizes);
  for (let first = 1; first <= total; first += BATCH) {
    const size = Math.min(BATCH, total - first + 1);
    await layer.entities.users.insertMany(
      Array.from({ length: size }, (_, offset) => userRow(first + offset, sizes)),
    );
    onProgress(first + size - 1);
  }
  await layer.entities.liveEvents.insertMany(
    Array.from({ length: LIVE_EVENTS }, (_, at) => ({
      event_id: BigInt(at + 1),
      title: `match ${at + 1}`,
    })),
  );
}

function userRow(userId: number, { users }: DemoSizes) {
  const tier: Tier = userId <= users ? 'premium' : (SUBJECTS[userId - users - 1] as Tier);
  return { user_id: BigInt(userId), name: `user-${userId}`, tier, balance: INITIAL_BALANCE };
}
