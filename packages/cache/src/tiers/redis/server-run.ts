import type { RedisConnection } from '@shardline/core/redis';

const RETRY_MS = 200;

/**
 * Which run of which server we speak to.
 *
 * A Redis that restarts from a snapshot, and a replica that is promoted before it has heard everything,
 * have both forgotten invalidations that were acknowledged. Their entries look as good as any. So each
 * entry carries the `run_id` of the server that it was stored on, and counts only there; after every new
 * connection the id is asked for before anything is read. The price is a cold L2 after a failover;
 * L3 and the sources behind leases take that. `trustAfterRestart` declines the price and the promise.
 *
 * A Cluster's client speaks to many servers behind one object and does not tell which answers, so there
 * this guard is absent, and a failover that loses invalidations shows them until their ttl.
 */
export class ServerRun {
  /** Undefined while it is not known: then nothing must be read. */
  era: string | undefined;
  readonly #connection: RedisConnection;
  #generation = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(connection: RedisConnection, trustAfterRestart: boolean) {
    this.#connection = connection;
    if (connection.isCluster || trustAfterRestart) {
      this.era = '';
      return;
    }
    connection.client.on('ready', this.#learn);
    connection.client.on('close', this.#forget);
    if (connection.client.status === 'ready') void this.#learn();
  }

  close(): void {
    this.#connection.client.off('ready', this.#learn);
    this.#connection.client.off('close', this.#forget);
    this.#forget();
  }

  readonly #forget = (): void => {
    clearTimeout(this.#retry);
    this.#generation += 1;
    this.era = undefined;
  };

  readonly #learn = async (): Promise<void> => {
    this.#generation += 1;
    const generation = this.#generation;
    const era = await this.#askRunId();
    if (generation !== this.#generation) return;
    this.era = era;
    if (era === undefined) this.#retry = setTimeout(this.#learn, RETRY_MS).unref();
  };

  async #askRunId(): Promise<string | undefined> {
    try {
      const info = await this.#connection.client.info('server');
      return /^run_id:(\w+)/m.exec(String(info))?.[1]?.slice(0, 16) ?? '';
    } catch (error) {
      // Some hosts forbid INFO: then runs cannot be told apart. Any other failure is asked again.
      return String((error as Error).message).startsWith('NOPERM') ? '' : undefined;
    }
  }
}
