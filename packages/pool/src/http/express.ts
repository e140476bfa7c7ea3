import type { IncomingMessage, ServerResponse } from 'node:http';
import { SessionCarrier, type SessionCarrierOptions } from './session-carrier.js';

/**
 * Sessions for Express, Connect and whatever calls `(request, response, next)`.
 *
 * The token is known only once what was written has a position, which is some fraction of a
 * millisecond later; so the response is held until then: what is written to it meanwhile keeps its
 * order and goes out after the header.
 *
 * @example
 * ```ts
 * import express from 'express';
 * import { ReplicaPool } from '@shardline/pool';
 * import { expressSessions } from '@shardline/pool/http';
 *
 * declare const pool: ReplicaPool;
 * const app = express();
 * app.use(expressSessions({ pool }));
 * ```
 */
export function expressSessions(options: SessionCarrierOptions) {
  const carrier = new SessionCarrier(options);
  return (
    request: IncomingMessage,
    response: ServerResponse,
    next: (error?: unknown) => void,
  ): void => {
    const session = carrier.begin((name) => {
      const value = request.headers[name.toLowerCase()];
      return Array.isArray(value) ? value[0] : value;
    });
    holdUntil(response, async () => {
      const [name, value] = await carrier.finish(session);
      response.appendHeader(name, value);
    });
    session.run(() => next());
  };
}

const HELD = ['writeHead', 'flushHeaders', 'write', 'end'] as const;

/** Holds the first byte of a response back until some work is done, and keeps the order of what comes. */
function holdUntil(response: ServerResponse, work: () => Promise<void>): void {
  const held: (() => void)[] = [];
  const original = Object.fromEntries(HELD.map((name) => [name, response[name]]));
  let isReleasing = false;
  const release = () => {
    for (const name of HELD) Object.assign(response, { [name]: original[name] });
    for (const call of held.splice(0)) call();
  };
  const onFailure = () => {
    // The answer is right and only its token is missing: the next request begins without a floor.
    release();
  };
  for (const name of HELD) {
    const replacement = (...given: unknown[]) => {
      held.push(() => (original[name] as (...all: unknown[]) => unknown).apply(response, given));
      if (!isReleasing) {
        isReleasing = true;
        work().then(release, onFailure);
      }
      return name === 'write' ? true : response;
    };
    Object.assign(response, { [name]: replacement });
  }
}
