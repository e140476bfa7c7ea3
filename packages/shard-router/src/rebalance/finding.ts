/**
 * Something that a check found, in words that an operator can act on. Preflight and `doctor` speak in these.
 */
export interface Finding {
  /** Stable, in capitals: `WAL_LEVEL`, `REPLICA_IDENTITY_MISSING`. Scripts may rely on it. */
  readonly code: string;
  /** `blocker`: a move must not begin. `warning`: it may, at a stated risk. `note`: good to know. */
  readonly severity: 'blocker' | 'warning' | 'note';
  /** The shard (or `catalog`) that it was found on. */
  readonly shard: string;
  /** The thing that it is about: a table, a setting, a role. */
  readonly subject: string;
  /** What is wrong, with the value that was found. */
  readonly message: string;
  /** What to do, for the provider that was named. */
  readonly remedy: string;
  /** The statement that mends it, where one does. */
  readonly sql?: string;
}
