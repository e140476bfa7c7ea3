/**
 * The data layer for Express, Connect and whatever calls `(request, response, next)`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { expressSessions } from '@shardline/pool/http';
import type { KitOptions } from '../kits/kit-options.js';
import { probe } from '../lifecycle/probes.js';

export type { KitLayer, KitOptions, KitSessions } from '../kits/kit-options.js';

/**
 * One middleware: each request in the session of its client, and the probes. Put it before the routes.
 *
 * @throws ShardlineError `CONFIG_INVALID`.
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http';
 * import type { DataLayer } from 'shardline';
 * import { expressLayer } from 'shardline/express';
 *
 * declare const layer: DataLayer;
 * const middleware = expressLayer({ layer });
 * createServer((request, response) => middleware(request, response, () => response.end('hello')));
 * ```
 */
export function expressLayer(options: KitOptions) {
  const { layer, session = {}, probes = {} } = options;
  const sessions = session === false ? undefined : expressSessions({ ...session, pool: layer });
  return (
    request: IncomingMessage,
    response: ServerResponse,
    next: (error?: unknown) => void,
  ): void => {
    const path = request.url?.split('?', 1)[0] ?? '';
    const answer = probes === false ? undefined : probe(layer, path, probes);
    if (answer !== undefined) {
      response.writeHead(answer.status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer.body));
      return;
    }
    if (sessions === undefined) next();
    else sessions(request, response, next);
  };
}
