/**
 * What a caller may conclude when a call has ended.
 *
 * `ok` it happened; `fail` it certainly did not and never will; `info` nobody knows. To take an `info`
 * for a `fail` is the classic mistake of such tests: the write shows up later, and either a good
 * system is accused or the value is forgotten and a lost write passes unseen. So everything here
 * leans one way: `fail` needs positive evidence, and one hint of doubt anywhere in a chain of causes
 * outweighs it. Taking a `fail` for an `info` only makes a check weaker, never wrong.
 *
 * The evidence, by source:
 * - the caller knows that nothing was sent;
 * - the server answered with an ERROR, which ends a transaction that is then rolled back. Whatever
 *   announces the end of the *connection* (08xxx, 57P01 to 57P03) or of knowledge (40003) is doubt;
 * - the dial itself failed (`connect`, `getaddrinfo`): no bytes of a statement ever left;
 * - Redis refused the command before it ran. An error out of the middle of a script is doubt: what
 *   the script wrote before it stays;
 * - a Shardline error (known by its brand, not by its class) whose code is a refusal at the door, and
 *   further codes that the caller names.
 */

/** `ok`: done. `fail`: certainly not done. `info`: unknown. */
export type Outcome = 'ok' | 'fail' | 'info';

/** What the caller knows of the circumstances. */
export interface ErrorContext {
  /**
   * False when the caller is certain that no byte of the operation left this process.
   * @default true
   */
  readonly sent?: boolean;
  /** Codes that mean «refused before anything was sent». They decide, whatever the cause says. */
  readonly refusedCodes?: readonly string[];
  /** Codes that mean «outcome unknown», beside those whose name says so. */
  readonly unknownCodes?: readonly string[];
}

/** How an error was classified, and on what evidence. */
export interface ClassifiedError {
  readonly outcome: 'fail' | 'info';
  /** The evidence, in words. */
  readonly reason: string;
  /** The first SQLSTATE in the chain of causes. */
  readonly sqlstate: string | undefined;
  /** The code, else the name, of the outermost error. */
  readonly error: string;
}

/** Refusals of PostgreSQL after which the transaction is certainly rolled back. */
const FAILED_SQLSTATES: ReadonlySet<string> = new Set([
  'SL001', // the fence of a moving or moved slot
  '25006', // read-only transaction: a replica
  '25P02', // the transaction had failed before
  '40000',
  '40001', // serialization failure
  '40002',
  '40P01', // deadlock
  '53300', // too many connections: refused at the dial
  '55006',
  '55P03', // lock not available
  '57014', // query cancelled; a commit past its record only warns
  '3D000', // no such database: refused at the dial
]);

/** Classes of SQLSTATE with the same meaning: data, constraints, syntax, authorization, raised. */
const FAILED_CLASSES: ReadonlySet<string> = new Set([
  '0A',
  '21',
  '22',
  '23',
  '28',
  '42',
  '44',
  'P0',
]);

const SQLSTATE = /^(?:[0-57][0-9A-Z]|F0|HV|P0|XX|SL)[0-9A-Z]{3}$/;

/** Failures of name look-up and of `connect`, where the system call is named beside them. */
const DIAL_SYSCALLS: ReadonlySet<string> = new Set(['connect', 'getaddrinfo']);

/** Socket codes that only a dial can produce. */
const DIAL_CODES: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN']);

/** Names that say by themselves that the end was not seen. */
const UNKNOWN_NAME = /UNKNOWN|TIMEOUT|TIMED_?OUT|DEADLINE|ABORT|CLOSED|LOST/;

/** Redis answers that come before a command runs. */
const REDIS_REFUSAL =
  /^(?:READONLY|LOADING|CLUSTERDOWN|MOVED|ASK|TRYAGAIN|CROSSSLOT|NOSCRIPT|OOM|MASTERDOWN|NOAUTH|NOPERM|WRONGPASS|BUSY|MISCONF|NOREPLICAS|WRONGTYPE)\b/;

/** The brand of every Shardline error, of whichever copy of the package. */
const SHARDLINE_BRAND = Symbol.for('shardline.error');

/** Shardline codes that are given before anything is sent. */
const SHARDLINE_REFUSALS: ReadonlySet<string> = new Set([
  'CIRCUIT_OPEN',
  'CONFIG_INVALID',
  'DURATION_INVALID',
  'IDENTIFIER_INVALID',
  'QUEUE_FULL',
]);

/** How deep a chain of causes is followed; real ones are three or four. */
const CAUSES_FOLLOWED = 16;

interface ErrorLike {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly message?: unknown;
  readonly syscall?: unknown;
  readonly severity?: unknown;
  readonly cause?: unknown;
  readonly errors?: unknown;
}

interface Evidence {
  readonly weight: 'not done' | 'unknown' | 'none';
  readonly reason: string;
}

/**
 * Decides whether an error means `fail` (certainly not done) or `info` (unknown). Never throws,
 * whatever was thrown at it.
 *
 * @example
 * ```ts
 * import { classifyError } from '@shardline/testkit/check';
 *
 * classifyError({ code: '23505', severity: 'ERROR' }).outcome; // 'fail'
 * classifyError({ code: 'ECONNRESET', syscall: 'read' }).outcome; // 'info'
 * classifyError({ code: 'ECONNRESET', syscall: 'read' }, { sent: false }).outcome; // 'fail'
 * ```
 */
export function classifyError(error: unknown, context: ErrorContext = {}): ClassifiedError {
  const chain = errorChain(error);
  const identity = { sqlstate: firstSqlstate(chain), error: nameOf(error) };
  const decided = refusedAtTheDoor(error, context);
  if (decided) return { ...decided, ...identity };

  const evidence = chain.map((link) => evidenceOf(link, context));
  const doubt = evidence.find((item) => item.weight === 'unknown');
  if (doubt) return { outcome: 'info', reason: doubt.reason, ...identity };
  const proof = evidence.find((item) => item.weight === 'not done');
  if (proof) return { outcome: 'fail', reason: proof.reason, ...identity };
  return { outcome: 'info', reason: 'nothing proves that it was not done', ...identity };
}

/** What `COMMIT` said when it did not throw. */
export interface CommitAnswer {
  /** The command tag: `COMMIT`, or `ROLLBACK` where the transaction had failed before. */
  readonly command: string;
  /** Notices received during the commit. */
  readonly notices?: readonly { readonly message?: string | undefined }[];
}

/**
 * Decides what a `COMMIT` that returned without an error means. Two of its answers are not success:
 * the tag `ROLLBACK`, and the warning that the wait for the synchronous standby was cancelled, after
 * which a failover may or may not keep the transaction.
 */
export function classifyCommit(answer: CommitAnswer): Outcome {
  if (answer.command !== 'COMMIT') return answer.command === 'ROLLBACK' ? 'fail' : 'info';
  const cancelled = (answer.notices ?? []).some((notice) =>
    /canceling (?:the )?wait for synchronous replication/.test(notice.message ?? ''),
  );
  return cancelled ? 'info' : 'ok';
}

function refusedAtTheDoor(
  error: unknown,
  context: ErrorContext,
): { outcome: 'fail'; reason: string } | undefined {
  if (context.sent === false) return { outcome: 'fail', reason: 'nothing was sent' };
  if (typeof error !== 'object' || error === null) return undefined;
  const { code } = error as ErrorLike;
  if (typeof code !== 'string' || context.unknownCodes?.includes(code)) return undefined;
  const branded = (error as { [SHARDLINE_BRAND]?: unknown })[SHARDLINE_BRAND] === true;
  const refused = context.refusedCodes?.includes(code) || (branded && SHARDLINE_REFUSALS.has(code));
  return refused ? { outcome: 'fail', reason: `${code}: refused before sending` } : undefined;
}

function evidenceOf(link: ErrorLike, context: ErrorContext): Evidence {
  const code = typeof link.code === 'string' ? link.code : '';
  const name = typeof link.name === 'string' ? link.name : '';
  const message = typeof link.message === 'string' ? link.message : '';
  if (context.unknownCodes?.includes(code)) {
    return { weight: 'unknown', reason: `${code}: outcome unknown` };
  }
  if (SQLSTATE.test(code)) return sqlstateEvidence(code, link.severity);
  if (isDialFailure(code, link.syscall)) {
    return { weight: 'not done', reason: `${code}: the dial failed` };
  }
  if (name === 'ReplyError') return redisEvidence(message);
  if (/^E[A-Z_]+$/.test(code)) return { weight: 'unknown', reason: `${code} on an open socket` };
  if (UNKNOWN_NAME.test(code) || name === 'AbortError' || name === 'TimeoutError') {
    return { weight: 'unknown', reason: `${code || name}: ended before the answer` };
  }
  return { weight: 'none', reason: '' };
}

function sqlstateEvidence(code: string, severity: unknown): Evidence {
  const refused = FAILED_SQLSTATES.has(code) || FAILED_CLASSES.has(code.slice(0, 2));
  if (refused && severity !== 'PANIC') {
    return { weight: 'not done', reason: `SQLSTATE ${code}: refused and rolled back` };
  }
  return { weight: 'unknown', reason: `SQLSTATE ${code} does not say whether it was done` };
}

function redisEvidence(message: string): Evidence {
  if (REDIS_REFUSAL.test(message) && !message.includes('script:')) {
    return { weight: 'not done', reason: `Redis refused: ${message.split(' ', 1)[0]}` };
  }
  return { weight: 'unknown', reason: 'a Redis error from a command that had begun' };
}

function isDialFailure(code: string, syscall: unknown): boolean {
  if (DIAL_CODES.has(code)) return true;
  return code !== '' && typeof syscall === 'string' && DIAL_SYSCALLS.has(syscall);
}

/** The error, its causes and the parts of an AggregateError, each once. */
function errorChain(error: unknown): ErrorLike[] {
  const seen = new Set<object>();
  const waiting: unknown[] = [error];
  while (waiting.length > 0 && seen.size < CAUSES_FOLLOWED) {
    const next = waiting.shift();
    if (typeof next !== 'object' || next === null || seen.has(next)) continue;
    seen.add(next);
    const link = next as ErrorLike;
    waiting.push(link.cause);
    if (Array.isArray(link.errors)) waiting.push(...link.errors);
  }
  return [...seen] as ErrorLike[];
}

function firstSqlstate(chain: readonly ErrorLike[]): string | undefined {
  for (const link of chain) {
    if (typeof link.code === 'string' && SQLSTATE.test(link.code)) return link.code;
  }
  return undefined;
}

function nameOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error);
  const { code, name } = error as ErrorLike;
  if (typeof code === 'string' && code !== '') return code;
  return typeof name === 'string' && name !== '' ? name : 'unnamed error';
}
