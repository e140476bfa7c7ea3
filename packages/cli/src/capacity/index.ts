export { assumptionsOf, bytes as formatBytes } from './assumptions.js';
export { type Fleet, fleetFor } from './fleet.js';
export { DEFAULT_HARDWARE, DEFAULT_LOAD, type Hardware, type Load } from './load.js';
export { ASSUMED, type Figure, type Measured, measuredFrom } from './measured.js';
