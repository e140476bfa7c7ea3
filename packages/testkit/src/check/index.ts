/**
 * Recording what a run did, and judging it afterwards.
 *
 * Workers record (`openRecorder`), nobody asserts while it runs; afterwards the files are read
 * (`readHistory`) and each promise is judged by a checker that takes the whole history and returns a
 * verdict. No checker throws on a bad history; only one that cannot be read is refused, by a
 * `MalformedHistoryError`. `checkCoverage` says whether the run was worth judging, `conclude` sums up.
 */

export { checkBucket } from './bucket.js';
export { checkBucketIntervals } from './bucket-intervals.js';
export type { BucketPolicy } from './bucket-policy.js';
export {
  type Conclusion,
  type CoverageRequirements,
  type CoverageVerdict,
  checkCoverage,
  conclude,
} from './coverage.js';
export { checkDeadlines, type DeadlineOptions } from './deadline.js';
export { checkFills, type FillsOptions } from './fills.js';
export { type HistorySource, parseHistory, readHistory, selectOperations } from './history.js';
export { checkInventory, type Inventory, type InventoryOptions } from './inventory.js';
export {
  checkLedger,
  type FinalRow,
  type LedgerRow,
  type PreloadedRow,
  type ShardContents,
} from './ledger.js';
export { LOOP_DELAY_EVENT, recordLoopDelay } from './loop-delay.js';
export { MalformedHistoryError } from './malformed-history-error.js';
export {
  describeOperation,
  type History,
  type HistoryEvent,
  type ObservedRow,
  type Operation,
  type OperationFields,
  type OperationKind,
} from './operation.js';
export {
  type ClassifiedError,
  type CommitAnswer,
  classifyCommit,
  classifyError,
  type ErrorContext,
  type Outcome,
} from './outcome.js';
export {
  type BegunFields,
  type EventFields,
  type HistoryRecorder,
  openRecorder,
  type PendingOperation,
  type RecordedCaller,
  type RecorderOptions,
  type RunResult,
} from './recorder.js';
export { checkRegister, type RegisterOptions } from './register.js';
export { checkScatter, type ScatterOptions } from './scatter.js';
export { checkSessions } from './sessions.js';
export { type Verdict, VIOLATIONS_KEPT, type Violation } from './verdict.js';
export { checkWriteOrder, type WriteOrderOptions } from './write-order.js';
