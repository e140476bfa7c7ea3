import type { Scenario } from './scenario.js';

/** Every scenario, in the order in which the results are read. */
export const scenarios: readonly Scenario[] = [];
