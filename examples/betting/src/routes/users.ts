import { Hono } from 'hono';
import * as v from 'valibot';
import type { BettingLayer } from '../layer.js';
import { answer, keyOf, refuseBeyondLimit } from './answers.js';

const Changes = v.strictObject({ name: v.pipe(v.string(), v.minLength(1), v.maxLength(80)) });

/** Users, and what is shown of them. */
export function userRoutes(layer: BettingLayer): Hono {
  const routes = new Hono();
  const { users, preferences, transactions } = layer.entities;
  const { userProfiles, friends, notifications } = layer.namespaces;

  routes.get('/:id', async (context) => {
    const userId = keyOf(context);
    if (userId === undefined) return answer(context, { error: 'not a user id' }, 400);
    const user = await users.get(userId);
    if (user === undefined) return answer(context, { error: 'no such user' }, 404);
    return (await refuseBeyondLimit(context, layer, user)) ?? answer(context, user);
  });

  routes.patch('/:id', async (context) => {
    const userId = keyOf(context);
    const changes = v.safeParse(Changes, await context.req.json().catch(() => undefined));
    if (userId === undefined || !changes.success) {
      return answer(context, { error: 'expected { name }' }, 400);
    }
    const user = await users.update(userId, { ...changes.output, updated_at: new Date() });
    if (user === undefined) return answer(context, { error: 'no such user' }, 404);
    await layer.emit('user.profile.updated', { userId });
    return answer(context, user);
  });

  routes.get('/:id/profile', async (context) => {
    const profile = await userProfiles.get(context.req.param('id'));
    return profile === undefined
      ? answer(context, { error: 'no such user' }, 404)
      : answer(context, profile);
  });

  /** Whoever logs in asks for the first screen next: `userLogin` has it read ahead. */
  routes.post('/:id/login', async (context) => {
    const userId = keyOf(context);
    if (userId === undefined) return answer(context, { error: 'not a user id' }, 400);
    await layer.emit('userLogin', { userId });
    return context.body(null, 204);
  });

  /** What the first screen shows, read side by side. */
  routes.get('/:id/home', async (context) => {
    const userId = keyOf(context);
    if (userId === undefined) return answer(context, { error: 'not a user id' }, 400);
    const [preferred, known, news] = await Promise.all([
      preferences.get(userId),
      friends.get(`${userId}`),
      notifications.get(`${userId}`),
    ]);
    return answer(context, { preferences: preferred, friends: known, notifications: news });
  });

  routes.get('/:id/transactions', async (context) => {
    const userId = keyOf(context);
    if (userId === undefined) return answer(context, { error: 'not a user id' }, 400);
    return answer(context, await transactions.list(userId, { limit: 50 }));
  });

  return routes;
}
