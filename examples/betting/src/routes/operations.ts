import { Hono } from 'hono';
import type { BettingLayer } from '../layer.js';
import { answer } from './answers.js';

/** What a balancer and an operator ask. */
export function operationRoutes(layer: BettingLayer): Hono {
  const routes = new Hono();
  routes.get('/healthz', (context) => {
    const { live } = layer.health();
    return answer(context, { live }, live ? 200 : 503);
  });
  routes.get('/readyz', (context) => {
    const health = layer.health();
    return answer(context, health, health.ready ? 200 : 503);
  });
  routes.get('/stats', (context) => answer(context, layer.stats()));
  return routes;
}
