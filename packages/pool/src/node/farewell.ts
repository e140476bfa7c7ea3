import type { Connection } from './connection.js';

/** Connections that are closed for their pool while their sockets are not yet. */
export class Farewell {
  readonly #leaving = new Set<Connection>();

  get size(): number {
    return this.#leaving.size;
  }

  /** Says goodbye where nothing is owed; anything else is cut, so that nothing hangs. */
  bid(connection: Connection, isQuiet: boolean, gone: () => void): void {
    if (!isQuiet) connection.destroy();
    this.#leaving.add(connection);
    connection.client.end(() => {
      this.#leaving.delete(connection);
      gone();
    });
  }

  /** Waits for no answer to any goodbye. */
  cutAll(): void {
    for (const connection of this.#leaving) connection.destroy();
  }
}
