import { type ConfigurationFault, configurationError, isShardlineError } from '@shardline/core';
import { type ClientAddressReader, clientAddressReader } from './client-address.js';
import { type HeaderFields, type HeaderVersion, rateLimitFields } from './headers.js';
import type { HttpLimitOptions, RequestView } from './http-options.js';
import { neverProblem, type ProblemBody, problemOf } from './problem.js';

/** What is to be done with a request. */
export type HttpVerdict =
  | { readonly allowed: true; readonly headers: HeaderFields }
  | {
      readonly allowed: false;
      readonly status: number;
      readonly headers: HeaderFields;
      readonly body: ProblemBody;
    };

const VERSIONS: readonly unknown[] = ['draft-6', 'draft-7', 'draft-11', false];
const NO_HEADERS: HeaderFields = {};

/** Decides requests; what frameworks have in common. */
export class HttpLimiter<Native> {
  readonly #options: HttpLimitOptions<Native>;
  readonly #version: HeaderVersion | false;
  readonly #addressOf: ClientAddressReader;

  /** @throws ShardlineError `CONFIG_INVALID`. */
  constructor(options: HttpLimitOptions<Native>) {
    const faults: ConfigurationFault[] = [];
    if (typeof options.limiter?.check !== 'function') {
      faults.push({ path: 'limiter', message: 'must be a limiter made by createLimiter' });
    }
    this.#version = options.headers ?? 'draft-11';
    if (!VERSIONS.includes(this.#version)) {
      faults.push({
        path: 'headers',
        message: `'${this.#version}' is none of ${VERSIONS.join(', ')}`,
      });
    }
    this.#addressOf = readerOf(options, faults);
    if (faults.length > 0) throw configurationError('the HTTP limits', faults);
    this.#options = options;
  }

  /** @throws whatever the caller's own functions throw, and misuse of the limiter. */
  async decide(request: RequestView<Native>): Promise<HttpVerdict> {
    const { limiter, skip, tier, policy, onDecision } = this.#options;
    if (skip !== undefined && (await skip(request))) return { allowed: true, headers: NO_HEADERS };
    const cost = await this.#costOf(request);
    const subject = await this.#subjectOf(request);
    try {
      const decision = await limiter.check(subject, { policy, cost, tier: tier?.(request) });
      onDecision?.(decision, request);
      const headers = rateLimitFields(decision, this.#version, subject);
      if (decision.allowed) return { allowed: true, headers };
      const body = problemOf(decision);
      return { allowed: false, status: body.status, headers: withType(headers), body };
    } catch (error) {
      if (!isShardlineError(error, 'RATELIMIT_COST_ABOVE_CAPACITY')) throw error;
      const { policy: name, capacity } = error.details as { policy: string; capacity: number };
      const body = neverProblem(name, cost, capacity);
      return { allowed: false, status: body.status, headers: withType({}), body };
    }
  }

  /** The address of the client, as trusted. */
  async #subjectOf(request: RequestView<Native>): Promise<string> {
    const subject = await this.#options.subject?.(request);
    if (subject !== undefined && subject !== '') return subject;
    return this.#addressOf(request.header('x-forwarded-for'), request.remoteAddress);
  }

  async #costOf(request: RequestView<Native>): Promise<number> {
    const { cost = 1 } = this.#options;
    return typeof cost === 'function' ? await cost(request) : cost;
  }
}

function withType(headers: HeaderFields): HeaderFields {
  return { ...headers, 'Content-Type': 'application/problem+json' };
}

function readerOf<Native>(
  options: HttpLimitOptions<Native>,
  faults: ConfigurationFault[],
): ClientAddressReader {
  try {
    return clientAddressReader(options.trustedProxies ?? 0, options.ipv6Prefix ?? 56);
  } catch (error) {
    faults.push({ path: 'trustedProxies', message: (error as Error).message });
    return () => 'address:unknown';
  }
}
