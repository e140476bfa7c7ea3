import type { Writable } from 'node:stream';

/**
 * What is written to a socket in one turn of the event loop leaves as one.
 *
 * Each write to a socket is a call of the system of its own, and a busy process makes a dozen small ones in a turn, one
 * behind each answer that it reads. They are held until everything has been read that lay there: a lone caller waits
 * for microseconds.
 */
export function holdForTurn(socket: Writable | undefined): void {
  if (socket === undefined || socket.writableCorked > 0) return;
  socket.cork();
  setImmediate(() => socket.uncork());
}
