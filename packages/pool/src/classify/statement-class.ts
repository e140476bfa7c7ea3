/**
 * What one text sent to the server is, as far as routing cares.
 *
 * - `read`: provably a pure read. It may run on a hot standby.
 * - `write`: changes data, or may.
 * - `session`: sets, uses or depends on state of the server session (SET, LISTEN, PREPARE, temporary
 *   tables, session advisory locks, savepoints, cursors, SHOW), or mixes transaction control with
 *   other statements. It has to meet the connection that it belongs to, on the primary unless the
 *   client is bound already.
 * - `begin`: opens a transaction that may write, or that no standby accepts (SERIALIZABLE).
 * - `begin-read-only`: opens a transaction that can run on a standby.
 * - `commit`, `rollback`: end a transaction.
 * - `unknown`: not parsed (grammar not loaded, syntax error, too long): treat it as a write.
 */
export type StatementKind =
  | 'read'
  | 'write'
  | 'session'
  | 'begin'
  | 'begin-read-only'
  | 'commit'
  | 'rollback'
  | 'unknown';

/** Where a hint comment in the text wants it to run. */
export type RouteHint = 'primary' | 'replica';

/** The answer of the classifier. Frozen and shared between calls with the same text. */
export interface StatementClass {
  readonly kind: StatementKind;
  /** Why, as a clause for spans and debug lines: `UPDATE in a WITH query`. */
  readonly reason: string;
  /** From a comment `/* primary *\/` or `/* replica *\/` at the start or end of the text. */
  readonly hint?: RouteHint;
  /**
   * True for a `write` that is a plain SELECT and was refused only because a function or relation in it
   * is not known to be pure: a replica hint may overrule that, since a standby refuses real writes.
   */
  readonly isOverridable?: boolean;
  /** For `SET TRANSACTION`: the access mode it declares, so that a deferred BEGIN can bind by it. */
  readonly declares?: 'read-only' | 'read-write';
  /** Statements in the text; 1 unless several are sent in one string. */
  readonly statements: number;
}
