import type { Duration } from '@shardline/core';

/** A server whose requests use the layer: an `http.Server`, say. */
export interface ClosableServer {
  close(done: (error?: Error) => void): unknown;
}

/** How a data layer is closed. */
export interface CloseOptions {
  /** For all of it, the delay included; what is not done by then is cut off and named. @default '10s' */
  readonly deadline?: Duration;
  /**
   * How long everything is served on while readiness already says no, so that a balancer stops sending
   * before anything is refused: a little more than its probe takes to fail. @default '0ms'
   */
  readonly readinessDelay?: Duration;
  /** Servers to be closed before the layer is: they take no new connection, and answer what they have begun. */
  readonly servers?: readonly ClosableServer[];
}
