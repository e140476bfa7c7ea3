import type { Clock } from '@shardline/core';
import pg from 'pg';
import { CANCEL_LANDED, type Connection } from './connection.js';

/**
 * Tells a server to cancel what a connection is running.
 *
 * The request goes over a socket of its own, names the backend and not the statement, and is not
 * answered; the server closes the socket once it has signalled the backend. A request that lands late
 * would hit whatever that backend does by then, and for a pooled connection that may be the statement
 * of somebody else (Effect-TS/effect#8068). So it is sent only while the statement is running, and the
 * connection counts as busy until the socket has been closed, whatever happens to the statement. A
 * signal that then finds the backend idle is dropped by the server.
 *
 * Returns when the request has landed or failed; nothing is thrown, since the caller has a deadline
 * of its own after which the connection is cut.
 */
export async function cancelOnServer(
  connection: Connection,
  config: pg.ClientConfig,
  options: { readonly timeoutMs: number; readonly clock: Clock },
): Promise<void> {
  const { client } = connection;
  const { processID, secretKey } = client;
  if (processID === null || secretKey === null || !connection.isAlive) return;
  connection.pendingCancels += 1;
  try {
    await sendCancel(
      { ...config, host: client.host, port: client.port },
      processID,
      secretKey,
      options,
    );
  } finally {
    connection.pendingCancels -= 1;
    client.emit(CANCEL_LANDED);
  }
}

interface CancelConnection extends NodeJS.EventEmitter {
  readonly stream: { destroy(): void };
  connect(portOrPath: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processId: number, secretKey: number): void;
}

function sendCancel(
  config: pg.ClientConfig,
  processId: number,
  secretKey: number,
  options: { readonly timeoutMs: number; readonly clock: Clock },
): Promise<void> {
  const { ssl, stream, host = 'localhost', port = 5432, sslnegotiation } = config;
  const wire = new (pg.Connection as unknown as new (config: object) => CancelConnection)({
    ssl,
    sslNegotiation: sslnegotiation,
    ...(stream === undefined ? {} : { stream }),
  });
  return new Promise((resolve) => {
    const done = () => {
      timer.cancel();
      wire.stream.destroy();
      resolve();
    };
    const timer = options.clock.schedule(options.timeoutMs, done);
    const send = () => wire.cancel(processId, secretKey);
    wire.on('connect', () => {
      if (!ssl) send();
      else if (sslnegotiation !== 'direct') wire.requestSsl();
    });
    wire.on('sslconnect', send);
    wire.on('error', done);
    wire.on('end', done);
    if (host.startsWith('/')) wire.connect(`${host}/.s.PGSQL.${port}`);
    else wire.connect(Number(port), host);
  });
}
