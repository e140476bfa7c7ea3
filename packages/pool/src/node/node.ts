import type { Clock } from '@shardline/core';
import pg from 'pg';
import type { NodeSettings, PoolSettings } from '../settings.js';
import { Dialer } from './dialer.js';
import { NodePool } from './node-pool.js';
import type { NodePoolEvents } from './node-pool-options.js';
import { Pipeline } from './pipeline.js';
import { ServerLink } from './server-link.js';

/** What the nodes of one pool share. */
export interface NodeContext {
  readonly settings: PoolSettings;
  readonly Client: new (config: pg.ClientConfig) => pg.Client;
  readonly prepare: (client: pg.Client) => unknown;
  readonly clock: Clock;
  readonly random: () => number;
}

/** How long a connection may take to become quiet after it was given back. */
const SETTLE_TIMEOUT_MS = 2000;
const VALIDATION_TIMEOUT_MS = 1000;

/** One server: its connections, the shared pipelines over them, and the link that watches it. */
export class Node {
  readonly name: string;
  readonly settings: NodeSettings;
  readonly pool: NodePool;
  readonly pipeline: Pipeline;
  readonly link: ServerLink;
  /** Statements under way: what the balancer counts. */
  inFlight = 0;

  constructor(settings: NodeSettings, context: NodeContext, events: NodePoolEvents) {
    this.name = settings.name;
    this.settings = settings;
    const { settings: shared, clock, random } = context;
    const dialing = {
      node: settings.name,
      dialTimeoutMs: shared.dialTimeoutMs,
      lifetimeMs: shared.maxLifetimeMs,
      lifetimeJitter: shared.lifetimeJitter,
      clock,
      random,
    };
    this.pool = new NodePool({
      ...shared,
      node: settings.name,
      dialer: new Dialer({
        ...dialing,
        Client: context.Client,
        config: settings.config,
        prepare: context.prepare,
      }),
      validationTimeoutMs: VALIDATION_TIMEOUT_MS,
      settleTimeoutMs: SETTLE_TIMEOUT_MS,
      idleInTransactionMs: settings.idleInTransactionMs,
      clock,
      random,
      events,
    });
    this.pipeline = new Pipeline(this.pool, clock);
    // The user's own type parsers and client class are for the user's own queries.
    const { types: _types, ...config } = settings.config;
    this.link = new ServerLink({
      dialer: new Dialer({
        ...dialing,
        dialTimeoutMs: Math.min(shared.dialTimeoutMs, shared.monitorTimeoutMs),
        lifetimeMs: Number.POSITIVE_INFINITY,
        Client: pg.Client,
        config,
        prepare: () => {},
      }),
      timeoutMs: shared.monitorTimeoutMs,
      clock,
      mayPrepare: !settings.isBehindPgBouncer,
      onStandbyPushed: (inHotStandby) => events.standbyPushed(inHotStandby),
      onLost: () => events.watchLost(),
    });
  }

  /** Closes everything of it; connections that are lent are cut at the deadline. */
  async end(deadlineMs: number): Promise<void> {
    this.link.close();
    await this.pool.end(deadlineMs);
  }
}
