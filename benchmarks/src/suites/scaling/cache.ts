import type { Scenario } from '../../scenario.js';
import { profileOf } from '../../workload/profiles.js';
import { seededRandom } from '../../workload/random.js';
import { openMemoryCache, openSharedCache, startSharedRedis } from '../cache/rig.js';
import { ratePerSecond } from './rate.js';

const VALUE_BYTES = [200, 1000, 4000, 16_000, 64_000] as const;
const KEYS = [1000, 10_000, 100_000] as const;
const SHARED_KEYS = 256;
const PEEKS = 200_000;

/** How hits grow dearer with the size of values and the number of keys. */
export const cacheScaling: Scenario = {
  suite: 'scaling',
  name: 'cache',
  situation:
    'From sessions of 200 bytes to rendered lists of 64 kB in Redis (compressed from 2 kB on), and from a thousand to a ' +
    'hundred thousand entries in memory, where the processor’s caches decide.',
  async run({ use, quick, signal, note, draw }) {
    const server = await startSharedRedis(use, 'cache-scaling');
    const cache = await openSharedCache(use, server);
    const bySize: [number, number][] = [];
    for (const bytes of VALUE_BYTES) {
      note(`values of ${bytes} bytes in Redis`);
      const values = cache.namespace(`values-${bytes}`, {
        ttl: '1h',
        tiers: ['l2'],
        load: (key) => profileOf(Number(key), bytes - 160),
      });
      const keys = Array.from({ length: SHARED_KEYS }, (_, id) => String(id));
      await values.getMany(keys);
      let turn = 0;
      const read = () => values.get(keys[turn++ % SHARED_KEYS] as string);
      const options = { callers: 64, spanMs: quick ? 300 : 1500, signal };
      bySize.push([bytes, await ratePerSecond(read, options)]);
    }
    draw({
      suite: 'scaling',
      name: 'L2 hits per second by value size',
      x: 'bytes of JSON',
      y: 'reads/s',
      isLogarithmic: true,
      lines: [{ name: '64 callers', points: bySize }],
    });
    const byKeys: [number, number][] = [];
    for (const keys of KEYS) {
      signal.throwIfAborted();
      note(`${keys} entries in memory`);
      byKeys.push([keys, await nanosecondsPerPeek(use, keys)]);
    }
    draw({
      suite: 'scaling',
      name: 'L1 peek by entries',
      x: 'entries',
      y: 'ns of CPU per peek',
      isLogarithmic: true,
      lines: [{ name: 'uniform keys', points: byKeys }],
    });
    return [];
  },
};

async function nanosecondsPerPeek(
  use: Parameters<typeof openMemoryCache>[0],
  count: number,
): Promise<number> {
  const profiles = Array.from({ length: count }, (_, id) => profileOf(id, 0));
  const namespace = await openMemoryCache(use, profiles, (id) => `profile:${id}`);
  const random = seededRandom(61);
  const keys = Array.from({ length: PEEKS }, () => `profile:${Math.floor(random() * count)}`);
  let found = 0;
  // Twice: the first time compiles.
  let before = process.cpuUsage();
  for (let round = 0; round < 2; round += 1) {
    before = process.cpuUsage();
    found = 0;
    for (const key of keys) if (namespace.peek(key) !== undefined) found += 1;
  }
  const { user, system } = process.cpuUsage(before);
  if (found !== PEEKS) throw new Error(`${PEEKS - found} peeks found nothing`);
  return ((user + system) * 1000) / PEEKS;
}
