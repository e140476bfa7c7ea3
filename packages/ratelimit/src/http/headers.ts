import { createHash } from 'node:crypto';
import type { Decision, LimitState } from '../limiter/decision.js';

/**
 * The RateLimit header fields, in the versions that are in use.
 *
 * `draft-11` is the structured form of draft-ietf-httpapi-ratelimit-headers-08 to -11: lists whose
 * items are strings with parameters. The draft is not settled, names may still change, so the writer
 * stands behind a version. `draft-7` and `draft-6` are the older forms that clients and
 * express-rate-limit know. In each of them one policy stands for all: the one that decided.
 */
export type HeaderVersion = 'draft-6' | 'draft-7' | 'draft-11';

/** Header fields by name. */
export type HeaderFields = Record<string, string>;

/** The fields that go with a decision; policies in shadow mode are nobody's business. */
export function rateLimitFields(
  decision: Decision,
  version: HeaderVersion | false,
  partition?: string,
): HeaderFields {
  const fields: HeaderFields = {};
  if (version !== false) Object.assign(fields, WRITERS[version](decision, partition));
  if (!decision.allowed) fields['Retry-After'] = String(seconds(decision.retryAfterMs));
  return fields;
}

const WRITERS: Readonly<
  Record<HeaderVersion, (decision: Decision, partition?: string) => HeaderFields>
> = { 'draft-6': draft6, 'draft-7': draft7, 'draft-11': draft11 };

function draft6(decision: Decision): HeaderFields {
  const state = decisive(decision);
  if (state === undefined) return {};
  return {
    'RateLimit-Policy': policiesOf(decision).map(oldPolicy).join(', '),
    'RateLimit-Limit': String(state.burst),
    'RateLimit-Remaining': String(state.remaining),
    'RateLimit-Reset': String(resetSeconds(state, decision)),
  };
}

function draft7(decision: Decision): HeaderFields {
  const state = decisive(decision);
  if (state === undefined) return {};
  const reset = resetSeconds(state, decision);
  return {
    'RateLimit-Policy': policiesOf(decision).map(oldPolicy).join(', '),
    RateLimit: `limit=${state.burst}, remaining=${state.remaining}, reset=${reset}`,
  };
}

function draft11(decision: Decision, partition?: string): HeaderFields {
  const states = policiesOf(decision);
  if (states.length === 0) return {};
  const key = partition === undefined ? '' : `;pk=:${partitionKey(partition)}:`;
  return {
    'RateLimit-Policy': states
      .map((state) => `"${state.policy}";q=${state.limit};w=${seconds(state.windowMs)}${key}`)
      .join(', '),
    RateLimit: states
      .map(
        (state) =>
          `"${state.policy}";r=${state.remaining};t=${resetSeconds(state, decision)}${key}`,
      )
      .join(', '),
  };
}

/** A partition names whose quota it is without telling who that is. */
function partitionKey(partition: string): string {
  return createHash('sha256').update(partition).digest().subarray(0, 9).toString('base64');
}

function policiesOf(decision: Decision): readonly LimitState[] {
  return decision.limits.filter((state) => !state.isShadow);
}

function decisive(decision: Decision): LimitState | undefined {
  const states = policiesOf(decision);
  return states.find((state) => state.policy === decision.policy) ?? states[0];
}

function oldPolicy(state: LimitState): string {
  return `${state.limit};w=${seconds(state.windowMs)}`;
}

/** A denied client must not be told to come sooner than Retry-After; an allowed one, when all is back. */
function resetSeconds(state: LimitState, decision: Decision): number {
  const isDenying = !decision.allowed && state.policy === decision.policy;
  return seconds(isDenying ? decision.retryAfterMs : state.resetMs);
}

/** Whole seconds, rounded up, at least one: zero would invite a retry at once. */
function seconds(milliseconds: number): number {
  return Math.max(1, Math.ceil(milliseconds / 1000));
}
