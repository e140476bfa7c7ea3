import { Redis } from 'ioredis';
import type { Endpoint } from '../server/server.js';

/** A frozen server must not hang a test. */
const CONNECT_WITHIN_MS = 3_000;
const ANSWER_WITHIN_MS = 10_000;

/** How the testkit's own connections come in. */
export interface RedisAccess {
  readonly password?: string | undefined;
  /** PEM of the certificate that a server with TLS shows. */
  readonly certificate?: string | undefined;
}

/** Runs one command and gives its answer. */
export type RedisCall = (
  command: string,
  ...args: (string | number | Buffer)[]
) => Promise<unknown>;

/** A connection for some commands, closed afterwards: nothing lingers in CLIENT LIST. */
export async function redisSession<T>(
  endpoint: Endpoint,
  access: RedisAccess,
  work: (call: RedisCall, callBuffer: RedisCall) => Promise<T>,
): Promise<T> {
  const client = new Redis({
    host: endpoint.host,
    port: endpoint.port,
    protocol: 2,
    lazyConnect: true,
    connectTimeout: CONNECT_WITHIN_MS,
    commandTimeout: ANSWER_WITHIN_MS,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
    retryStrategy: () => null,
    connectionName: 'shardline-testkit',
    ...(access.password === undefined ? {} : { password: access.password }),
    ...(access.certificate === undefined ? {} : { tls: { ca: access.certificate } }),
  });
  // Whatever it is, connect() or the command tells it too; unheard it would be printed.
  client.on('error', () => {});
  try {
    await client.connect();
    return await work(
      (command, ...args) => client.call(command, ...args),
      (command, ...args) => client.callBuffer(command, ...args),
    );
  } finally {
    // On a connection that never came about, ioredis would wait two seconds for its end.
    if (client.status !== 'end') client.disconnect();
  }
}

/** Reads `name:value` lines of INFO and CLUSTER INFO. */
export function parseInfo(text: string): Map<string, string> {
  const lines = text.split(/\r?\n/).map((line) => /^([^#:]+):(.*)$/.exec(line));
  return new Map(
    lines.flatMap((match) => (match === null ? [] : [[match[1] ?? '', match[2] ?? '']])),
  );
}
