/** One step of closing. */
export interface CloseStep {
  readonly step:
    | 'readiness'
    | 'servers'
    | 'drain'
    | 'outbox'
    | 'limits'
    | 'cache'
    | 'router'
    | 'pools';
  readonly tookMs: number;
  /** Undefined if it was done in time. */
  readonly error: unknown;
}

/** What closing a data layer has done. */
export interface CloseReport {
  /** Whether everything was done in time, with nothing cut off. */
  readonly clean: boolean;
  /** Calls that were under way when the layer had to go on without them. */
  readonly abandonedCalls: number;
  readonly steps: readonly CloseStep[];
}
