/** How large and how long a run of the demo is. */
export interface DemoSizes {
  readonly users: number;
  /** Callers that send one request after the other. */
  readonly callers: number;
  readonly warmUpMs: number;
  /** How long each failure lasts. */
  readonly faultMs: number;
  /** Profile updates that are looked for in every process. */
  readonly updates: number;
  /** Tiers whose limits are run into; 10 000 requests take their time. */
  readonly tiers: readonly ('premium' | 'standard' | 'free' | 'suspicious')[];
}

export const FULL: DemoSizes = {
  users: 10_000,
  callers: 16,
  warmUpMs: 12_000,
  faultMs: 5000,
  updates: 50,
  tiers: ['suspicious', 'free', 'standard', 'premium'],
};

export const QUICK: DemoSizes = {
  users: 2000,
  callers: 8,
  warmUpMs: 4000,
  faultMs: 2000,
  updates: 20,
  tiers: ['suspicious', 'free', 'standard'],
};

/** What every user begins with: with it, money that went missing shows. */
export const INITIAL_BALANCE = 1_000_000n;
export const LIVE_EVENTS = 20;
