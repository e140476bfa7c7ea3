import type { Socket } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

/**
 * Resets a connection behind the bytes that were written to it.
 *
 * A reset overtakes what is still in this process, so those bytes have to leave first. And a receiver
 * on libuv that finds bytes and a reset in one look takes the reset for an orderly end; so it is given
 * a moment to read them. A receiver in this very process reads during a turn of the event loop, which
 * a mere timer would not ensure.
 */
const READING_MS = 20;

export async function resetAfterFlush(socket: Socket): Promise<void> {
  await untilFlushed(socket);
  await sleep(READING_MS);
  await nextTurn();
  await nextTurn();
  if (!socket.destroyed) socket.resetAndDestroy();
}

function untilFlushed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed || socket.connecting || socket.writableLength === 0) return resolve();
    socket.once('close', () => resolve());
    if (socket.writableEnded) socket.once('finish', () => resolve());
    else socket.write('', () => resolve());
  });
}
