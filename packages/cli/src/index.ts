export {
  ASSUMED,
  assumptionsOf,
  DEFAULT_HARDWARE,
  DEFAULT_LOAD,
  type Figure,
  type Fleet,
  fleetFor,
  formatBytes,
  type Hardware,
  type Load,
  type Measured,
  measuredFrom,
} from './capacity/index.js';
export { createProgram } from './program.js';
