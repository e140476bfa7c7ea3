import { BentoCache, bentostore } from 'bentocache';
import { redisDriver } from 'bentocache/drivers/redis';
import { compare, concurrent } from '../../measure/compare.js';
import { redisLimit } from '../../measure/limits.js';
import { atLeast, rateRow } from '../../measure/rows.js';
import type { Scenario } from '../../scenario.js';
import { type Profile, profileOf } from '../../workload/profiles.js';
import { openClient, openSharedCache, startSharedRedis } from './rig.js';

const CALLERS = 64;
const KEYS = 16_384;

/**
 * Keys are asked for in turn, so that no two callers of a moment ask for the same: sharing one answer, of
 * which ours would gain, is no part of this row. The raw GET gives text and parses nothing, so it is a limit
 * as much as a peer.
 */
export const l2Hit: Scenario = {
  suite: 'cache',
  name: 'l2-hit',
  situation:
    'A process just deployed, whose memory is empty: every lookup is answered by Redis, 64 requests at a time, profiles ' +
    "of 230 B (the median object of Twitter's cache clusters), each asked for as often as the others.",
  async run({ use, quick, signal }) {
    const server = await startSharedRedis(use, 'l2-hit');
    const profiles = (await openSharedCache(use, server)).namespace<Profile>('profiles', {
      ttl: '1h',
      tiers: ['l2'],
      load: (key) => profileOf(Number(key.slice('profile:'.length))),
    });
    const client = openClient(use, server, { enableAutoPipelining: true });
    const bento = openBento(openClient(use, server));
    const packedBento = openBento(openClient(use, server, { enableAutoPipelining: true }));
    const keys = Array.from({ length: KEYS }, (_, id) => `profile:${id}`);
    for (let start = 0; start < KEYS; start += 512) {
      await Promise.all(
        keys.slice(start, start + 512).map(async (key, offset) => {
          const profile = profileOf(start + offset);
          await profiles.get(key);
          await client.set(`raw:${key}`, JSON.stringify(profile));
          await bento.set({ key, value: profile, ttl: '1h' });
        }),
      );
    }
    const inTurn = (read: (key: string) => Promise<unknown>) => {
      let turn = 0;
      return () => read(keys[turn++ & (KEYS - 1)] as string);
    };
    const getters = {
      get: (key: string) => profiles.get(key),
      'ioredis GET, auto-pipelined': (key: string) => client.get(`raw:${key}`),
      'ioredis GET, auto-pipelined, parsed': async (key: string) =>
        JSON.parse((await client.get(`raw:${key}`)) as string),
      'bentocache get': (key: string) => bento.get({ key }),
      'bentocache get, auto-pipelined': (key: string) => packedBento.get({ key }),
    };
    for (const [name, get] of Object.entries(getters)) await checkAnswers(name, get, keys);
    const comparison = await compare(
      Object.entries(getters).map(([name, get]) => concurrent(name, CALLERS, inTurn(get))),
      { rounds: quick ? 15 : 51, turnMs: 100, signal },
    );
    const limit = await redisLimit(server, ['GET', `raw:${keys[0]}`], {
      callers: CALLERS,
      seconds: quick ? 1 : 5,
      signal,
    });
    const { loads } = profiles.stats();
    if (loads !== KEYS) throw new Error(`${loads} loads of ${KEYS} keys: not all were hits`);
    const row = (peer: string, ratio: number, answers?: 'cache/l2-hit') =>
      rateRow(comparison, {
        suite: 'cache',
        name: `L2 hit, ${CALLERS} callers`,
        contender: 'get',
        answers,
        peer,
        unit: 'reads/s',
        target: atLeast(ratio),
        details: { 'limit: redis-benchmark GET, reads/s': limit },
      });
    return [
      row('ioredis GET, auto-pipelined', 0.85, 'cache/l2-hit'),
      row('bentocache get', 3.5, 'cache/l2-hit'),
      row('bentocache get, auto-pipelined', 3.5),
      row('ioredis GET, auto-pipelined, parsed', 0.85),
    ];
  },
};

function openBento(connection: ReturnType<typeof openClient>) {
  return new BentoCache({
    default: 'redis',
    stores: { redis: bentostore().useL2Layer(redisDriver({ connection })) },
  });
}

async function checkAnswers(
  name: string,
  get: (key: string) => Promise<unknown>,
  keys: readonly string[],
): Promise<void> {
  for (let id = 0; id < keys.length; id += 97) {
    const answer = await get(keys[id] as string);
    const profile = (typeof answer === 'string' ? JSON.parse(answer) : answer) as Profile;
    if (JSON.stringify(profile) !== JSON.stringify(profileOf(id))) {
      throw new Error(`${name} answered ${JSON.stringify(answer)} for ${keys[id]}`);
    }
  }
}
