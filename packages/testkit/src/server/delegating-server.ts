import type { Server, ServerState } from './server.js';

/** A server that is another one with something added: what RedisServer and its like extend. */
export class DelegatingServer implements Server {
  readonly #server: Server;

  constructor(server: Server) {
    this.#server = server;
  }

  get name(): string {
    return this.#server.name;
  }

  get host(): string {
    return this.#server.host;
  }

  get port(): number {
    return this.#server.port;
  }

  get state(): ServerState {
    return this.#server.state;
  }

  get pid(): number | undefined {
    return this.#server.pid;
  }

  kill(): Promise<void> {
    return this.#server.kill();
  }

  freeze(): Promise<void> {
    return this.#server.freeze();
  }

  thaw(): Promise<void> {
    return this.#server.thaw();
  }

  shutdown(): Promise<void> {
    return this.#server.shutdown();
  }

  restart(): Promise<void> {
    return this.#server.restart();
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  logs(lines?: number): Promise<string> {
    return this.#server.logs(lines);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
