export {
  type Duration,
  type DurationUnit,
  durationFault,
  durationMs,
  formatDuration,
} from './duration.js';
export {
  coreErrors,
  defineErrors,
  type ErrorDefinition,
  isShardlineError,
  ShardlineError,
  type ShardlineErrorDetails,
} from './errors.js';
export {
  type ConfigurationFault,
  checkOptions,
  configurationError,
  durationOption,
  integerOption,
  nearestName,
} from './options.js';
