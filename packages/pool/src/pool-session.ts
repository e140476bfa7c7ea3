import type { Cluster } from './cluster.js';
import { poolError } from './errors.js';
import { runInSession } from './session/current-session.js';
import { Session } from './session/session.js';
import { NO_FLOOR } from './session/session-floor.js';
import { openToken, sealToken } from './session/token.js';
import type { PoolSettings } from './settings.js';

/**
 * A logical client whose reads see its own writes and never go back in time, whichever server
 * answers. Everything that runs inside `run` belongs to it, however deep. Its token carries it to the
 * next request, in whichever process that is served.
 *
 * @example
 * ```ts
 * import { ReplicaPool } from '@shardline/pool';
 *
 * declare const pool: ReplicaPool;
 * declare const tokenOfLastRequest: string | undefined;
 *
 * const session = pool.session(tokenOfLastRequest);
 * await session.run(async () => {
 *   await pool.query('UPDATE account SET name = $1 WHERE id = $2', ['Ada', 7]);
 *   await pool.query('SELECT name FROM account WHERE id = $1', [7]); // sees it
 * });
 * const token = await session.token(); // for the client's next request
 * ```
 */
export class PoolSession {
  readonly #owner: object;
  readonly #session: Session;
  readonly #cluster: Cluster;
  readonly #settings: PoolSettings;

  /** @internal Use `pool.session()`. */
  constructor(
    owner: object,
    cluster: Cluster,
    settings: PoolSettings,
    token: string | undefined,
    onBadToken: 'throw' | 'begin-at-primary',
  ) {
    this.#owner = owner;
    this.#cluster = cluster;
    this.#settings = settings;
    this.#session = token === undefined ? cluster.newSession() : this.#resume(token, onBadToken);
  }

  /** Runs work whose statements on this pool belong to the session. */
  run<T>(work: () => T): T {
    return runInSession(this.#owner, this.#session, work);
  }

  /**
   * Where the session stands, as URL-safe text. It waits for the positions of what was done last.
   *
   * @throws ShardlineError `POOL_SESSION_UNSETTLED` if that needs a primary and there is none.
   */
  async token(): Promise<string> {
    const floor = await this.#session.settledFloor();
    const { signingKeys, tokenLifetimeMs } = this.#settings;
    const systemIdentifier = await this.#systemIdentifier();
    const expiresAtMs = this.#cluster.now() + tokenLifetimeMs;
    return sealToken({ systemIdentifier, floor, expiresAtMs }, signingKeys);
  }

  #resume(token: string, onBadToken: 'throw' | 'begin-at-primary'): Session {
    const { systemIdentifier, newestPosition } = this.#cluster.monitor.state;
    const sources = this.#cluster.sessionSources();
    try {
      const { is, contents } = openToken(token, {
        keys: this.#settings.signingKeys,
        systemIdentifier,
        newestPosition,
        nowMs: this.#cluster.now(),
      });
      return is === 'valid'
        ? this.#cluster.newSession(contents.floor)
        : Session.claiming(sources, contents.floor);
    } catch (error) {
      if (onBadToken === 'throw') throw error;
      // Whoever sent it has lost only the knowledge of where it stood; the primary holds everything.
      return Session.claiming(sources, NO_FLOOR);
    }
  }

  async #systemIdentifier(): Promise<string> {
    const known = this.#cluster.monitor.state.systemIdentifier;
    if (known !== undefined) return known;
    const { systemIdentifier } = await this.#cluster.capture.capture(this.#cluster.declared.name);
    if (systemIdentifier === '') {
      throw poolError('POOL_SESSION_UNSETTLED', 'The server does not say which cluster it is.');
    }
    return systemIdentifier;
  }
}
