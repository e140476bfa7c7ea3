import type { Clock } from '@shardline/core';
import type pg from 'pg';
import type { Cluster } from './cluster.js';
import { asPgClient } from './node/connection.js';
import { teachQueryOptions } from './raw-client.js';
import { releaseOnce } from './releasing.js';
import type { RouteTarget } from './route/decide.js';
import { RoutedClient } from './routed-client.js';
import { currentSession } from './session/current-session.js';
import type { PoolSettings } from './settings.js';

/** What lends clients: a pool's servers, and the pool that sessions are kept by. */
export interface LenderOptions {
  readonly owner: object;
  readonly cluster: Cluster;
  readonly settings: PoolSettings;
  readonly clock: Clock;
}

/**
 * Lends clients to whoever wants more than one statement on a connection. With several servers, or in a session, that
 * is a client which binds to a server at its first statement; else the driver's own.
 */
export class Lender {
  readonly #options: LenderOptions;

  constructor(options: LenderOptions) {
    this.#options = options;
  }

  async lend(target?: RouteTarget): Promise<pg.PoolClient> {
    const { owner, cluster } = this.#options;
    // A session has to hear of what is done, even where there is only one server to do it on.
    const isRouted = cluster.nodes.size > 1 || currentSession(owner) !== undefined;
    return isRouted ? this.#lendRouted(target) : await this.#lendRaw();
  }

  #lendRouted(target: RouteTarget | undefined): pg.PoolClient {
    const { cluster, settings, clock } = this.#options;
    const { router, observer, telemetry, declared } = cluster;
    const client = new RoutedClient(
      { router, settings, clock, observer, telemetry, target },
      declared.settings.config,
    );
    return client as unknown as pg.PoolClient;
  }

  async #lendRaw(): Promise<pg.PoolClient> {
    const { cluster, settings, clock } = this.#options;
    const { router, declared: node } = cluster;
    const connection = node.pool.tryAcquire() ?? (await node.pool.acquire());
    const forget = teachQueryOptions(connection, { node, router, settings, clock });
    const client = asPgClient(connection.client);
    client.release = releaseOnce(node.pool, connection, forget);
    return client;
  }
}
