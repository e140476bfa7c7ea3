import { Socket } from 'node:net';
import type { Endpoint } from '../server/server.js';
import { Lane } from './lane.js';
import type { CutEnding, Link } from './link.js';
import { resetAfterFlush } from './reset-after-flush.js';

/** A client's connection and the one to the server behind it, joined by a lane each way. */
export class ProxiedConnection {
  readonly #client: Socket;
  readonly #server = new Socket({ allowHalfOpen: true });
  readonly #up: Lane;
  readonly #down: Lane;
  readonly #target: Endpoint;
  readonly #upLink: Link;
  #isDialled = false;

  constructor(client: Socket, target: Endpoint, links: { up: Link; down: Link }) {
    this.#client = client;
    this.#target = target;
    this.#upLink = links.up;
    const onCut = (ending: CutEnding) => this.#end(ending);
    this.#up = new Lane(client, this.#server, links.up, onCut);
    this.#down = new Lane(this.#server, client, links.down, onCut);
    client.setNoDelay(true);
    this.#server.setNoDelay(true);
    this.#dialUnlessHeld();
  }

  /** Resolves once both sockets are gone. */
  async closed(): Promise<void> {
    await Promise.all([this.#client, this.#server].map(untilClosed));
  }

  heal(): void {
    this.#dialUnlessHeld();
    this.#up.heal();
    this.#down.heal();
  }

  /** Both sides see their connection reset by its peer. */
  reset(): void {
    this.#stopLanes();
    this.#client.resetAndDestroy();
    // A socket that was never dialled has no connection to reset.
    if (this.#isDialled) this.#server.resetAndDestroy();
    else this.#server.destroy();
  }

  destroy(): void {
    this.#stopLanes();
    this.#client.destroy();
    this.#server.destroy();
  }

  /** While nothing gets up, the server does not even see the attempt to connect. */
  #dialUnlessHeld(): void {
    if (this.#isDialled || this.#upLink.isHeld || this.#server.destroyed) return;
    this.#isDialled = true;
    this.#server.connect(this.#target);
  }

  #end(ending: CutEnding): void {
    this.#stopLanes();
    if (ending === 'reset') {
      void resetAfterFlush(this.#client);
      void resetAfterFlush(this.#server);
      return;
    }
    // Ended, not destroyed: closing a socket with unread bytes sends a reset instead of an end.
    this.#client.end();
    this.#server.end();
  }

  #stopLanes(): void {
    this.#up.discard();
    this.#down.discard();
  }
}

function untilClosed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}
