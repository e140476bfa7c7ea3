/**
 * The bus: how processes learn of each other's invalidations, so that their L1 follows. Keys travel,
 * values never: a value that came late would be a stale fill.
 */

/** What was invalidated. */
export interface BusMessage {
  readonly namespace: string;
  /** Keys of entries. */
  readonly keys?: readonly string[];
  /** Names of stamps: tags, prefixes, the namespace. */
  readonly stamps?: readonly string[];
}

/** Who listens. */
export interface BusListener {
  onMessage(message: BusMessage): void;
  /** Something may have been missed: nothing heard before counts any more. */
  onGap(reason: string): void;
  /** Everything acknowledged before this moment of the monotonic clock has been heard. */
  onHeardOut(asOfMs: number): void;
}

/** A way for invalidations to travel. */
export interface Bus {
  /** Resolves once whoever asks the bus from now on will hear of it. */
  publish(message: BusMessage): Promise<void>;
  start(listener: BusListener): void;
  /** Gaps found so far, for telemetry. */
  readonly gaps: number;
  close(): Promise<void>;
}
