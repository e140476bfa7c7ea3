/**
 * What the guard and its parent say to each other. Every request is answered by one reply of the
 * same id; exits of servers are told unasked.
 */

/** Something that must not outlive the run: a file or folder, or a container. */
export type Leftover =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'container'; readonly id: string; readonly engine: EngineAddress };

/** Where a Docker engine answers: a socket file, or a host and port without TLS. */
export type EngineAddress =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number };

/** How the guard starts a server. */
export interface SpawnOrder {
  readonly program: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly folder: string;
  /** Receives standard output and error, appended. */
  readonly logFile: string;
  /** Sent when the parent has vanished; SIGKILL follows if it does not help. */
  readonly endSignal: NodeJS.Signals;
  readonly uid?: number;
  readonly gid?: number;
}

export type GuardOrder =
  | ({ readonly type: 'spawn' } & SpawnOrder)
  /** To the process alone: an orderly end is its own affair. */
  | { readonly type: 'signal'; readonly pid: number; readonly signal: NodeJS.Signals }
  /** To the process and everything under it. Answered when it has taken effect. */
  | { readonly type: 'freeze' | 'thaw' | 'kill'; readonly pid: number }
  | { readonly type: 'keep' | 'forget' | 'remove'; readonly leftover: Leftover }
  /** Takes over what a guard that was itself killed had watched over. */
  | { readonly type: 'adopt'; readonly pids: readonly number[] };

export type GuardRequest = GuardOrder & { readonly id: number };

export interface GuardReply {
  readonly type: 'reply';
  readonly id: number;
  readonly pid?: number;
  readonly error?: { readonly message: string; readonly code?: string };
}

export interface GuardExit {
  readonly type: 'exit';
  readonly pid: number;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export type GuardMessage = GuardReply | GuardExit;
