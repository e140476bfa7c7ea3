export type { Answer } from './answer.js';
export { cliErrors } from './errors.js';
export { EXIT, type ExitCode } from './exit-codes.js';
export type { Host, OutputStream } from './host.js';
export { processHost } from './process-host.js';
export { run } from './run.js';
