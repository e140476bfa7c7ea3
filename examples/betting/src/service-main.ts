import { serve } from '@hono/node-server';
import { closeOnSignals } from 'shardline';
import { openBettingLayer } from './layer.js';
import { exportMetrics } from './metrics.js';
import { serversFromEnvironment } from './servers.js';
import { createService } from './service.js';

/**
 * One process of the service. Its servers come as JSON in `BETTING_SERVERS`, its port in `PORT` (0 takes a
 * free one), the port of its metrics in `METRICS_PORT` (none without). It ends in an orderly way on SIGTERM and
 * SIGINT, and when a parent that started it with an IPC channel goes away.
 */
const metricsPort = process.env['METRICS_PORT'];
if (metricsPort !== undefined) exportMetrics(Number(metricsPort));
const layer = await openBettingLayer(serversFromEnvironment());
const service = createService(layer);

const server = serve(
  { fetch: service.fetch, hostname: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) },
  ({ port }) => {
    console.log(`Betting service on http://127.0.0.1:${port}`);
    process.send?.({ port });
  },
);

// Nothing new is let in; what is under way is answered; then the layer flushes, gives back and closes.
closeOnSignals(layer, { servers: [server], deadline: '9s' });
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
