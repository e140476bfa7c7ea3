import { createLimiter, type RateLimiter } from '@shardline/ratelimit';
import { type RedisServer, startRedis } from '@shardline/testkit';
import type { Ratelimit } from '@upstash/ratelimit';
import { Redis } from 'ioredis';
import { RedisStore } from 'rate-limit-redis';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import { stayAlive } from '../../measure/stay-alive.js';
import type { ScenarioContext } from '../../scenario.js';
import { upstashOn } from './upstash.js';

/** Users of a service; their keys are asked for in turn, so that no cache of one key helps anyone. */
const USERS = 10_000;

/** One Redis, and every contender on a connection of its own to it. */
export interface Rig {
  readonly server: RedisServer;
  readonly limiter: RateLimiter;
  /** A check of ours, of rate-limiter-flexible, of rate-limit-redis, of @upstash/ratelimit, for the next user. */
  readonly ours: () => Promise<unknown>;
  readonly flexible: () => Promise<unknown>;
  readonly expressStore: () => Promise<unknown>;
  readonly upstash: () => Promise<unknown>;
}

/** Limits that are never reached: what is measured is the way, not the denial. */
export async function setUp({ use }: ScenarioContext): Promise<Rig> {
  stayAlive(use);
  const server = use(await startRedis({ name: 'ratelimit-bench' }));
  const limiter = use(
    createLimiter({
      redis: server.url,
      policies: { api: { limit: 1_000_000, window: '1s' } },
      timeout: '10s',
    }),
  );
  await limiter.ready({ deadline: '10s' });
  const client = useClient(use, server);
  const flexible = new RateLimiterRedis({ storeClient: client, points: 1e9, duration: 60 });
  const other = useClient(use, server);
  const store = new RedisStore({
    sendCommand: (command: string, ...args: string[]) =>
      other.call(command, ...args) as Promise<never>,
  });
  store.init({ windowMs: 60_000 } as never);
  const upstash = upstashOn(useClient(use, server));
  const users = Array.from({ length: USERS }, (_, index) => `user:${index}`);
  let turn = 0;
  const next = () => users[turn++ % USERS] as string;
  return {
    server,
    limiter,
    ours: () => limiter.check(next()),
    flexible: () => flexible.consume(next(), 1),
    expressStore: () => store.increment(next()),
    upstash: () => upstash.limit(next()),
  };
}

function useClient(use: ScenarioContext['use'], server: RedisServer): Redis {
  const client = new Redis(server.url);
  use({
    async [Symbol.asyncDispose]() {
      client.disconnect();
    },
  });
  return client;
}

/** Ten of fifteen must pass and five must not, or the figures below are worth nothing. */
export async function checkAnswers(rig: Rig): Promise<void> {
  await using strict = createLimiter({
    redis: rig.server.url,
    prefix: 'answers:',
    policies: { api: { limit: 10, window: '1h' } },
    timeout: '10s',
  });
  const decisions = await Promise.all(Array.from({ length: 15 }, () => strict.check('u')));
  const allowed = decisions.filter((decision) => decision.allowed).length;
  if (allowed !== 10) throw new Error(`${allowed} of 15 checks passed a limit of 10`);
  // It lets a check pass when Redis is slow, and says so in `reason`: that would be no figure.
  const { success, remaining, reason } = (await rig.upstash()) as Awaited<
    ReturnType<Ratelimit['limit']>
  >;
  if (!success || remaining !== 999_999 || reason !== undefined) {
    throw new Error(`@upstash/ratelimit answered ${success}, ${remaining}, ${reason}`);
  }
}
