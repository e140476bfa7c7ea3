import type { Duration } from '@shardline/core';

/**
 * What every server of the testkit is, whichever program it is and whoever runs it (a local process
 * or a container).
 *
 * States: `running` answers; `frozen` is stopped in mid-step (SIGSTOP, or a paused container): its
 * sockets stay open and nothing answers; `down` has exited, by kill(), by stop() of the process or by
 * itself. Folder, port and name outlive `down`, so that restart() brings the same server back.
 * `removed` is the end: nothing of it is left.
 */
export type ServerState = 'running' | 'frozen' | 'down' | 'removed';

/** Where a server listens. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** A server that tests can hurt. */
export interface Server extends Endpoint, AsyncDisposable {
  /** For logs and messages: `users-primary`. */
  readonly name: string;
  readonly state: ServerState;
  /** Process id on this machine; undefined in a container and while down. */
  readonly pid: number | undefined;
  /** SIGKILL: as a power cut, nothing is flushed. Resolves once the process is gone. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open, nothing answers. */
  freeze(): Promise<void>;
  /** SIGCONT after freeze(). */
  thaw(): Promise<void>;
  /** Ends the server in an orderly way if it runs; it keeps folder and port. */
  shutdown(): Promise<void>;
  /** Starts it again on the same port and data (ending it first if it runs), and waits until ready. */
  restart(): Promise<void>;
  /** Ends it and removes everything of it. Safe to call twice and in any state. */
  stop(): Promise<void>;
  /** What it has logged so far, also after stop(); the end of it if `lines` is given. */
  logs(lines?: number): Promise<string>;
}

/** Which program a spec starts; decides the binary, or the image, that it needs. */
export type ServerKind = 'postgres' | 'redis' | 'memcached' | 'pgbouncer';

/** How one server is started. */
export interface ServerSpec {
  readonly kind: ServerKind;
  /** Major version of the program; whichever is at hand if absent. */
  readonly version?: number;
  readonly name: string;
  /** From reservePort(); given back when the server is removed or its start fails. */
  readonly port: number;
  /** Program and arguments; `place` is the server's own folder as the server sees it. */
  readonly command: (place: ServerPlace) => readonly string[];
  /** Files written into the server's folder before its first start. */
  readonly files?: (place: ServerPlace) => Readonly<Record<string, string>>;
  /** Native backend only: fills the folder before the first start, after `files`. */
  readonly seed?: (place: LocalPlace) => Promise<void>;
  /** Containers only: the same, as POSIX shell commands run inside, as the server's user. */
  readonly seedScript?: (place: ServerPlace) => string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Signal for an orderly end. @default 'SIGTERM' */
  readonly shutdownSignal?: NodeJS.Signals;
  /** Signal for a prompt end before everything is removed. @default 'SIGKILL' */
  readonly endSignal?: NodeJS.Signals;
  /** Whether it serves yet; polled until true. A throw means not yet. */
  readonly isReady: (endpoint: Endpoint) => Promise<boolean>;
  /** @default '60s' */
  readonly readyWithin?: Duration;
  /** Gives up a start that is under way; what had been started is ended. */
  readonly signal?: AbortSignal;
}

/** Where a server lives, as that server sees it. */
export interface ServerPlace {
  /** The server's own folder, writable by it. */
  readonly folder: string;
  readonly port: number;
  /** The path of a program of this kind's installation: `initdb`, `redis-cli`. */
  binary(name: string): string;
}

/** A user and group by number. */
export interface UserIds {
  readonly uid: number;
  readonly gid: number;
}

/** A place on this machine. */
export interface LocalPlace extends ServerPlace {
  /** Version of the programs: `18.4`. */
  readonly version: string;
  /** Variables that the programs need, such as LD_LIBRARY_PATH. */
  readonly environment: Readonly<Record<string, string>>;
  /** The user that the server runs as and that must own its files; undefined: the caller. */
  readonly owner: UserIds | undefined;
}

/** Runs servers: as local processes, or in containers. */
export interface Backend {
  readonly name: 'native' | 'containers';
  start(spec: ServerSpec): Promise<Server>;
}
