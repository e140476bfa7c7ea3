/**
 * One process of a service on the data layer, for tests: it does what it is told over IPC, in the session
 * that it is told, and says what it saw and which token comes next. It may be killed at any moment.
 */
import { createDataLayer } from 'shardline';
import { configOf, type ReadingServers } from './readings.js';
import type { ServiceAnswer, ServiceOrder } from './service-process.js';

const servers = JSON.parse(process.argv[2] as string) as ReadingServers;
const layer = await createDataLayer(configOf(servers));
const { readings } = layer.entities;

async function carryOut(order: ServiceOrder): Promise<number | undefined> {
  const key = BigInt(order.key);
  switch (order.what) {
    case 'get':
      return (await readings.get(key))?.version;
    case 'query': {
      const text = 'SELECT * FROM readings WHERE key = $1';
      return (await readings.query(key, text, [key]))[0]?.version;
    }
    case 'update':
      return (await readings.update(key, { value: order.value ?? null }))?.version;
    case 'transaction':
      return layer.transaction(
        'readings',
        key,
        async () => {
          const before = await readings.get(key);
          const after = await readings.update(key, { value: order.value ?? null });
          if (after?.version !== (before?.version ?? 0) + 1) throw new Error('not serial');
          return after?.version;
        },
        { isolation: 'repeatable read' },
      );
  }
}

process.on('message', (order: ServiceOrder) => {
  const answer = async (): Promise<ServiceAnswer> => {
    const session = layer.session(order.token);
    const version = await session.run(() => carryOut(order));
    return { id: order.id, version, token: await session.token() };
  };
  answer().then(
    (done) => process.send?.(done),
    (error: Error & { code?: string }) => {
      process.send?.({ id: order.id, error: { code: error.code, message: error.message } });
    },
  );
});
process.once('disconnect', () => process.exit(0));
process.send?.({ ready: true });
