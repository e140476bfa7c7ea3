import type { Cluster } from './cluster.js';
import { poolError } from './errors.js';
import { runInSession, runInSessions } from './session/current-session.js';
import { Session } from './session/session.js';
import { NO_FLOOR, type SessionFloor } from './session/session-floor.js';
import { openToken, sealToken } from './session/token.js';
import type { PoolSettings } from './settings.js';

/** Where a session stands in the history of one cluster, as plain data: what a token holds. */
export interface SessionPosition {
  readonly systemIdentifier: string;
  /** Newest position written or read; undefined if neither was done. */
  readonly position: { readonly timeline: number; readonly lsn: bigint } | undefined;
  /** Transactions below this may have been seen on a replica. */
  readonly snapshotXmax: bigint | undefined;
}

/** How a session is begun. */
export type SessionBeginning =
  /** Anew. */
  | { readonly by: 'nothing'; readonly willRead: boolean }
  | { readonly by: 'token'; readonly token: string; readonly onBadToken: OnBadToken }
  /** At a position that the caller vouches for, having had it from a session. */
  | { readonly by: 'position'; readonly position: SessionPosition }
  /** At the primary, which holds everything; a position that is only claimed is bounded by what it says. */
  | { readonly by: 'claim'; readonly position: SessionPosition | undefined };

type OnBadToken = 'throw' | 'begin-at-primary';

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
    beginning: SessionBeginning,
  ) {
    this.#owner = owner;
    this.#cluster = cluster;
    this.#settings = settings;
    this.#session = this.#begin(beginning);
  }

  /** @internal What statements are told of. */
  get inner(): Session {
    return this.#session;
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
    const { systemIdentifier, ...floor } = await this.position();
    const { signingKeys, tokenLifetimeMs } = this.#settings;
    const expiresAtMs = this.#cluster.now() + tokenLifetimeMs;
    return sealToken({ systemIdentifier, floor, expiresAtMs }, signingKeys);
  }

  /**
   * Where the session stands, as plain data for whoever carries it by a way of their own. It waits for the
   * positions of what was done last.
   *
   * @throws ShardlineError `POOL_SESSION_UNSETTLED` if that needs a primary and there is none.
   */
  async position(): Promise<SessionPosition> {
    const floor = await this.#session.settledFloor();
    return { systemIdentifier: await this.#systemIdentifier(), ...floor };
  }

  /**
   * Takes in a position from elsewhere: of another session, or of something that was read and remembered.
   * One of another cluster says nothing here and is left aside.
   */
  merge({ systemIdentifier, ...floor }: SessionPosition): void {
    const known = this.#cluster.monitor.state.systemIdentifier;
    if (known !== undefined && known !== systemIdentifier) return;
    this.#session.merge(floor);
  }

  #begin(beginning: SessionBeginning): Session {
    switch (beginning.by) {
      case 'nothing':
        return this.#cluster.newSession(NO_FLOOR, beginning.willRead);
      case 'token':
        return this.#resume(beginning.token, beginning.onBadToken);
      case 'position':
        return this.#isForeign(beginning.position)
          ? this.#claiming(NO_FLOOR)
          : this.#cluster.newSession(floorOf(beginning.position));
      case 'claim': {
        const { position } = beginning;
        const isClaim = position !== undefined && !this.#isForeign(position);
        return this.#claiming(isClaim ? floorOf(position) : NO_FLOOR);
      }
    }
  }

  #isForeign({ systemIdentifier }: SessionPosition): boolean {
    const known = this.#cluster.monitor.state.systemIdentifier;
    return known !== undefined && known !== systemIdentifier;
  }

  #claiming(claim: SessionFloor): Session {
    return Session.claiming(this.#cluster.sessionSources(), claim);
  }

  #resume(token: string, onBadToken: OnBadToken): Session {
    const { systemIdentifier, newestPosition, newestSnapshotXmax } = this.#cluster.monitor.state;
    try {
      const { is, contents } = openToken(token, {
        keys: this.#settings.signingKeys,
        systemIdentifier,
        newestPosition,
        newestSnapshotXmax,
        nowMs: this.#cluster.now(),
      });
      return is === 'valid'
        ? this.#cluster.newSession(contents.floor)
        : this.#claiming(contents.floor);
    } catch (error) {
      if (onBadToken === 'throw') throw error;
      // Whoever sent it has lost only the knowledge of where it stood; the primary holds everything.
      return this.#claiming(NO_FLOOR);
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

function floorOf({ position, snapshotXmax }: SessionPosition): SessionFloor {
  return { position, snapshotXmax };
}

/**
 * Runs work in sessions of many pools, each found when a statement on its pool asks for it. For those who
 * keep sessions over several clusters, such as one for each shard.
 *
 * @param sessionOf called for each statement: it must give the same session each time.
 *
 * @example
 * ```ts
 * import { type PoolSession, type ReplicaPool, runInPoolSessions } from '@shardline/pool';
 *
 * declare const sessions: ReadonlyMap<object, PoolSession>;
 * declare const pool: ReplicaPool;
 *
 * await runInPoolSessions((asked) => sessions.get(asked), () => pool.query('SELECT 1'));
 * ```
 */
export function runInPoolSessions<T>(
  sessionOf: (pool: object) => PoolSession | undefined,
  work: () => T,
): T {
  return runInSessions({ get: (pool) => sessionOf(pool)?.inner }, work);
}
