import type { LimiterOptions } from '@shardline/ratelimit';

/** What one attacking process is told. */
export interface AttackPlan {
  readonly options: LimiterOptions;
  /** `check`: a round trip each; `leased`: tokens held locally. */
  readonly way: 'check' | 'leased';
  readonly subjects: number;
  readonly callers: number;
  readonly maxCost: number;
  readonly seed: number;
  readonly historyPath: string;
  readonly process: string;
  /** Whether the scripts read a clock that the test steps. */
  readonly steppedClock: boolean;
  /** Pause between two checks of one caller, so that a run is not only the noise of a full machine. */
  readonly pauseMs: number;
  /** Length of token leases. */
  readonly leaseMs: number;
}

/** What the test says to a process, and hears from it. */
export type AttackOrder =
  | { readonly order: 'go' | 'stop' }
  | { readonly order: 'configure'; readonly policies: LimiterOptions['policies'] };
export interface AttackReport {
  readonly report: 'ready' | 'done' | 'failed';
  readonly message?: string;
  /** Answers that carry no server time: from the denial cache, the fallback. */
  readonly untimed?: Readonly<Record<string, number>>;
}
