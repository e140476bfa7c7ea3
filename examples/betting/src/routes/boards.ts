import { Hono } from 'hono';
import * as v from 'valibot';
import type { BettingLayer } from '../layer.js';
import { answer, keyOf } from './answers.js';

const score = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Score = v.strictObject({ home: score, away: score });

/** What everybody looks at: leaderboards, live events, the rules of the house. */
export function boardRoutes(layer: BettingLayer): Hono {
  const routes = new Hono();
  const { leaderboards, houseRules } = layer.namespaces;
  const { liveEvents } = layer.entities;

  routes.get('/leaderboards/:board', async (context) => {
    return answer(context, await leaderboards.get(context.req.param('board')));
  });

  routes.get('/rules/:language', async (context) => {
    return answer(context, await houseRules.get(context.req.param('language')));
  });

  routes.get('/events/:id', async (context) => {
    const eventId = keyOf(context);
    const event = eventId === undefined ? undefined : await liveEvents.get(eventId);
    return event === undefined
      ? answer(context, { error: 'no such event' }, 404)
      : answer(context, event);
  });

  routes.put('/events/:id/score', async (context) => {
    const eventId = keyOf(context);
    const goals = v.safeParse(Score, await context.req.json().catch(() => undefined));
    if (eventId === undefined || !goals.success) {
      return answer(context, { error: 'expected { home, away }' }, 400);
    }
    // Once this has returned, every process shows the new score within half a second (`bound`).
    const event = await liveEvents.update(eventId, goals.output);
    return event === undefined
      ? answer(context, { error: 'no such event' }, 404)
      : answer(context, event);
  });

  return routes;
}
