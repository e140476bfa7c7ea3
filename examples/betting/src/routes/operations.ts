import { Hono } from 'hono';
import type { BettingLayer } from '../layer.js';
import { answer } from './answers.js';

/** What an operator asks. */
export function operationRoutes(layer: BettingLayer): Hono {
  const routes = new Hono();
  routes.get('/stats', (context) => answer(context, layer.stats()));
  return routes;
}
