import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { BettingLayer } from '../layer.js';

/** JSON has no big integers: they go out as texts. */
export function answer(context: Context, body: unknown, status: ContentfulStatusCode = 200) {
  const text = JSON.stringify(body, (_key, value) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
  return context.body(text, status, { 'content-type': 'application/json' });
}

/** A key in the path, or undefined if it is none. */
export function keyOf(context: Context, name = 'id'): bigint | undefined {
  const text = context.req.param(name) ?? '';
  return /^\d{1,18}$/.test(text) ? BigInt(text) : undefined;
}

/** The answer to a user who is beyond the limit of his tier; undefined if he is not. */
export async function refuseBeyondLimit(
  context: Context,
  layer: BettingLayer,
  user: { readonly user_id: bigint; readonly tier: string },
) {
  const { allowed, retryAfterMs } = await layer.limits.check(`user:${user.user_id}`, {
    tier: user.tier,
  });
  if (allowed) return undefined;
  const retryAfterSeconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  context.header('Retry-After', `${retryAfterSeconds}`);
  return answer(context, { error: 'too many requests', retryAfterSeconds }, 429);
}
