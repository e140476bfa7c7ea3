import { Hono } from 'hono';
import * as v from 'valibot';
import type { BettingLayer } from '../layer.js';
import { placeBet } from '../place-bet.js';
import { answer, keyOf, refuseBeyondLimit } from './answers.js';

const positive = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const Request = v.object({
  betId: v.pipe(v.string(), v.uuid()),
  eventId: positive,
  stake: positive,
});

const STATUS = {
  placed: 201,
  'already placed': 200,
  'not enough money': 409,
  'no such user': 404,
} as const;

/** A user's bets. */
export function betRoutes(layer: BettingLayer): Hono {
  const routes = new Hono();

  routes.post('/:id/bets', async (context) => {
    const userId = keyOf(context);
    const bet = v.safeParse(Request, await context.req.json().catch(() => undefined));
    if (userId === undefined || !bet.success) {
      return answer(context, { error: 'expected { betId, eventId, stake }' }, 400);
    }
    const user = await layer.entities.users.get(userId);
    if (user === undefined) return answer(context, { error: 'no such user' }, 404);
    const refused = await refuseBeyondLimit(context, layer, user);
    if (refused !== undefined) return refused;
    const { betId, eventId, stake } = bet.output;
    const outcome = await placeBet(layer, userId, {
      betId,
      eventId: BigInt(eventId),
      stake: BigInt(stake),
    });
    return answer(context, { betId, outcome }, STATUS[outcome]);
  });

  routes.get('/:id/bets', async (context) => {
    const recent = await layer.namespaces.recentBets.get(context.req.param('id'));
    return answer(context, recent ?? []);
  });

  return routes;
}
