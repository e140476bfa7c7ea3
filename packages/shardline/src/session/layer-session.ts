/** How a session is to begin. */
export interface SessionStart {
  /**
   * What to do about a token that is malformed or forged: refuse it, or begin anew at the primaries, which
   * hold everything. @default 'throw'
   */
  readonly onBadToken?: 'throw' | 'begin-at-primary';
}

/**
 * A logical client of the data layer: what it has written it sees, and a row that it has seen it never sees
 * older, in whichever process and from whichever tier or server it reads next.
 */
export interface LayerSession {
  /** Runs work whose calls belong to the session, however deep. */
  run<T>(work: () => T): T;
  /**
   * Where the session stands, as URL-safe text of at most 2048 characters. It waits for the positions of what
   * was done last.
   *
   * @throws ShardlineError `POOL_SESSION_UNSETTLED` if that needs a primary and there is none.
   */
  token(): Promise<string>;
  /**
   * Takes in another token: the join after a fan-out, say.
   *
   * @throws ShardlineError `LAYER_TOKEN_MALFORMED`, `LAYER_TOKEN_FORGED`.
   */
  merge(token: string): void;
}
