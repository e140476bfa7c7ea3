import { isShardlineError } from '@shardline/core';
import { Hono } from 'hono';
import { honoLayer } from 'shardline/hono';
import type { BettingLayer } from './layer.js';
import { answer } from './routes/answers.js';
import { betRoutes } from './routes/bets.js';
import { boardRoutes } from './routes/boards.js';
import { operationRoutes } from './routes/operations.js';
import { userRoutes } from './routes/users.js';

/**
 * The HTTP face of the betting service. Each route reads as what it does; where the rows are, which server
 * answers and what is cached is the data layer's business.
 */
export function createService(layer: BettingLayer): Hono {
  const service = new Hono();
  // Answers the balancer's probes, and carries each client's session in a cookie: whoever has just placed a bet
  // sees it, whichever process, cache or replica answers next.
  service.use(honoLayer({ layer }));
  service.route('/', operationRoutes(layer));
  service.route('/', boardRoutes(layer));
  service.route('/users', userRoutes(layer));
  service.route('/users', betRoutes(layer));

  service.onError((error, context) => {
    if (!isShardlineError(error)) throw error;
    // The code tells the client whether the same request may succeed later.
    return answer(context, { error: error.code, retryable: error.retryable }, 503);
  });
  return service;
}
