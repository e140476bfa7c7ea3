import { serve } from '@hono/node-server';
import { openBettingLayer } from './layer.js';
import { createService } from './service.js';

/**
 * One process of the service. Its servers come as JSON in `BETTING_SERVERS`, its port in `PORT` (0 takes
 * a free one). It ends in an orderly way on SIGTERM and SIGINT, and when a parent that started it with
 * an IPC channel goes away.
 */
const layer = await openBettingLayer(JSON.parse(requireVariable('BETTING_SERVERS')));
const service = createService(layer);

const server = serve(
  { fetch: service.fetch, hostname: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) },
  ({ port }) => {
    console.log(`Betting service on http://127.0.0.1:${port}`);
    process.send?.({ port });
  },
);

let closing: Promise<void> | undefined;
const close = () => {
  closing ??= (async () => {
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await layer.close();
  })();
  closing.then(
    () => process.exit(0),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
};
process.once('SIGTERM', close);
process.once('SIGINT', close);
process.once('disconnect', close);

function requireVariable(name: string): string {
  const value = process.env[name];
  if (value !== undefined) return value;
  console.error(`${name} is not set: give the service its servers as JSON, see src/layer.ts.`);
  process.exit(2);
}
