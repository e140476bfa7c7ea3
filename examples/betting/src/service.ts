import { type Context, Hono } from 'hono';
import * as v from 'valibot';
import type { BettingLayer } from './layer.js';

/**
 * The HTTP face of the betting service. Each route reads as what it does; where the rows are, which
 * server answers and what is cached is the data layer's business.
 */
export function createService(layer: BettingLayer): Hono {
  const service = new Hono();
  const { users, bets } = layer.entities;

  service.get('/users/:id', async (context) => {
    const userId = userIdOf(context);
    if (userId === undefined) return context.json({ error: 'not a user id' }, 400);
    const user = await users.get(userId);
    if (user === undefined) return context.json({ error: 'no such user' }, 404);
    const refused = await refuseBeyondLimit(context, userId, user.tier);
    return refused ?? context.json({ ...user, user_id: `${userId}`, balance: `${user.balance}` });
  });

  service.post('/users/:id/bets', async (context) => {
    const userId = userIdOf(context);
    if (userId === undefined) return context.json({ error: 'not a user id' }, 400);
    const bet = v.safeParse(BetRequest, await context.req.json().catch(() => undefined));
    if (!bet.success) return context.json({ error: 'expected { eventId, stake }' }, 400);
    const user = await users.get(userId);
    if (user === undefined) return context.json({ error: 'no such user' }, 404);
    const refused = await refuseBeyondLimit(context, userId, user.tier);
    if (refused !== undefined) return refused;
    const placed = await bets.insert({
      creator_id: userId,
      event_id: BigInt(bet.output.eventId),
      stake: BigInt(bet.output.stake),
    });
    return context.json({ betId: placed.bet_id }, 201);
  });

  service.get('/healthz', async (context) => {
    const health = await layer.health();
    return context.json(health, health.ready ? 200 : 503);
  });

  service.get('/stats', (context) => context.json(layer.stats()));

  async function refuseBeyondLimit(context: Context, userId: bigint, tier: string) {
    const decision = await layer.limits.check(`user:${userId}`, { tier });
    if (decision.allowed) return undefined;
    const retryAfterSeconds = Math.max(1, Math.ceil(decision.retryAfterMs / 1000));
    context.header('Retry-After', `${retryAfterSeconds}`);
    return context.json({ error: 'too many requests', retryAfterSeconds }, 429);
  }

  return service;
}

const positive = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const BetRequest = v.object({ eventId: positive, stake: positive });

function userIdOf(context: Context): bigint | undefined {
  const text = context.req.param('id') ?? '';
  return /^\d{1,18}$/.test(text) ? BigInt(text) : undefined;
}
