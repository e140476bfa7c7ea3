export { onAbort } from './abort-listeners.js';
export { BoundedQueue, type BoundedQueueOptions, type WaitOptions } from './bounded-queue.js';
export { Breaker, type BreakerOptions, type BreakerState } from './breaker.js';
export { type Clock, ManualClock, type ScheduledCall, systemClock } from './clock.js';
export {
  abortedError,
  answerWithin,
  type DeadlineOptions,
  deadlineError,
  sleep,
  throwIfAborted,
  withDeadline,
} from './deadline.js';
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
export {
  LONGEST_KEY_ID_BYTES,
  readTokenText,
  type SigningKey,
  sealPayload,
  signatureFault,
  type TokenFault,
  type TokenSigning,
} from './signed-token.js';
export { SingleFlight } from './single-flight.js';
export { quoteIdentifier, quoteInteger, quoteLiteral, quoteQualified } from './sql-identifier.js';
export { type ObservedMetric, type RecordedMetric, Telemetry } from './telemetry.js';
