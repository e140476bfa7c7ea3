export type { Answer } from './answer.js';
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
export { cliErrors } from './errors.js';
export { EXIT, type ExitCode } from './exit-codes.js';
export type { Host, OutputStream } from './host.js';
export { processHost } from './process-host.js';
export { run } from './run.js';
