import type { Scenario } from './scenario.js';
import { checks } from './suites/ratelimit/checks.js';
import { footprint } from './suites/ratelimit/footprint.js';
import { leased } from './suites/ratelimit/leased.js';

/** Every scenario, in the order in which the results are read. */
export const scenarios: readonly Scenario[] = [checks, footprint, leased];
