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

type Found = Pick<ServiceAnswer, 'version' | 'value' | 'keys'> | undefined;

async function carryOut(order: ServiceOrder): Promise<Found> {
  const key = BigInt(order.key);
  switch (order.what) {
    case 'get':
      return readings.get(key);
    case 'query': {
      const text = 'SELECT * FROM readings WHERE key = $1';
      return (await readings.query(key, text, [key]))[0];
    }
    case 'read': {
      const text = '/* primary */ SELECT version, value FROM readings WHERE key = $1';
      return (await layer.router.query(key, text, [key])).rows[0] as Found;
    }
    case 'scatter': {
      const rows = await layer.router.scatter<{ key: bigint }>('SELECT key FROM readings').all();
      return { keys: rows.map((row) => String(row.key)) };
    }
    case 'update':
      return readings.update(key, { value: order.value ?? null });
    case 'transaction':
      return layer.transaction(
        'readings',
        key,
        async () => {
          const before = await readings.get(key);
          const after = await readings.update(key, { value: order.value ?? null });
          if (after?.version !== (before?.version ?? 0) + 1) throw new Error('not serial');
          return after;
        },
        { isolation: 'repeatable read' },
      );
  }
}

process.on('message', (order: ServiceOrder) => {
  const answer = async (): Promise<ServiceAnswer> => {
    const session = layer.session(order.token);
    const isInSession = order.what !== 'read' && order.what !== 'scatter';
    const found = await (isInSession ? session.run(() => carryOut(order)) : carryOut(order));
    const { version, value, keys } = found ?? {};
    return { id: order.id, version, value, keys, token: await session.token() };
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
