/**
 * One error family for all Shardline packages.
 *
 * Every error that a user can meet is *defined* once, in a catalogue beside the code that throws it:
 * its code, whether trying again may help, what it means and what to do. An occurrence adds what
 * happened to which thing. So a message always carries all three, and the pages of documentation are
 * generated from the same definitions.
 *
 * Errors are recognised by brand and code, never by `instanceof`: two copies of a package (ESM and
 * CommonJS, or two versions) may be loaded in one process, and each has a class of its own.
 */

const BRAND = Symbol.for('shardline.error');

/** Where the page of an error code lives. */
const DOCUMENTATION = 'https://github.com/shardline/shardline/blob/main/docs/errors';

/** What is always true of an error code, whatever the occurrence. */
export interface ErrorDefinition<Code extends string = string> {
  /** Stable across releases; safe to compare and to alert on. */
  readonly code: Code;
  /** Whether the same call may succeed later without anyone changing anything. */
  readonly retryable: boolean;
  /** What this code means, as one sentence for the documentation. */
  readonly meaning: string;
  /** What to do next, as the sentence that closes every message. */
  readonly remedy: string;
}

/** What an occurrence adds to the definition. */
export interface ShardlineErrorDetails {
  /** The error underneath, if one was caught. */
  readonly cause?: unknown;
  /** Overrides the definition where an occurrence knows better. */
  readonly retryable?: boolean;
  /** Overrides the definition's advice where an occurrence knows better. */
  readonly remedy?: string;
  /** Facts for programs: counts, names, positions. Never secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * Turns a table of meanings into error definitions, each with its key as its code.
 *
 * @example
 * ```ts
 * import { defineErrors, ShardlineError } from '@shardline/core';
 *
 * const errors = defineErrors({
 *   LEDGER_FULL: {
 *     retryable: false,
 *     meaning: 'The ledger has no room for another row.',
 *     remedy: 'Archive old rows, then try again.',
 *   },
 * });
 * throw new ShardlineError(errors.LEDGER_FULL, 'Ledger "bets" holds 1000 of 1000 rows.');
 * ```
 */
export function defineErrors<const T extends Record<string, Omit<ErrorDefinition, 'code'>>>(
  table: T,
): { readonly [K in keyof T & string]: ErrorDefinition<K> } {
  return Object.fromEntries(
    Object.entries(table).map(([code, definition]) => [code, { code, ...definition }]),
  ) as { readonly [K in keyof T & string]: ErrorDefinition<K> };
}

/**
 * The error that every Shardline package throws.
 *
 * @example
 * ```ts
 * import { isShardlineError } from '@shardline/core';
 *
 * declare function placeBet(): Promise<void>;
 *
 * try {
 *   await placeBet();
 * } catch (error) {
 *   if (isShardlineError(error) && error.retryable) await placeBet();
 *   else throw error;
 * }
 * ```
 */
export class ShardlineError extends Error {
  override readonly name: string = 'ShardlineError';
  /** Stable code of the error: compare this, not the class and not the message. */
  readonly code: string;
  /** Whether the same call may succeed later without anyone changing anything. */
  readonly retryable: boolean;
  /** What to do next: the sentence that closes the message. */
  readonly remedy: string;
  /** Address of the page that explains the code. */
  readonly documentation: string;
  /** Facts for programs: counts, names, positions. Never secrets. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(definition: ErrorDefinition, happened: string, more: ShardlineErrorDetails = {}) {
    const remedy = more.remedy ?? definition.remedy;
    super(
      composeMessage(definition, happened, remedy),
      'cause' in more ? { cause: more.cause } : undefined,
    );
    this.code = definition.code;
    this.remedy = remedy;
    this.retryable = more.retryable ?? definition.retryable;
    this.documentation = `${DOCUMENTATION}/${definition.code}.md`;
    this.details = more.details ?? {};
    Object.defineProperty(this, BRAND, { value: true });
  }
}

function composeMessage(definition: ErrorDefinition, happened: string, remedy: string): string {
  return `${happened} ${remedy} [${definition.code}: ${DOCUMENTATION}/${definition.code}.md]`;
}

/**
 * Whether a value is a Shardline error, of whichever copy of the package, and of the given code if
 * one is given.
 */
export function isShardlineError(value: unknown, code?: string): value is ShardlineError {
  if (typeof value !== 'object' || value === null) return false;
  if ((value as { [BRAND]?: unknown })[BRAND] !== true) return false;
  return code === undefined || (value as ShardlineError).code === code;
}

/** The errors of `core` itself. */
export const coreErrors = defineErrors({
  CONFIG_INVALID: {
    retryable: false,
    meaning: 'Options or a configuration file hold values that cannot be used.',
    remedy: 'Correct every place named above; nothing was opened or changed.',
  },
  DEADLINE_EXCEEDED: {
    retryable: true,
    meaning: 'A call did not end before its deadline.',
    remedy: 'Look at what it waited for; allow more time only if that is meant to be slow.',
  },
  ABORTED: {
    retryable: false,
    meaning: 'The caller gave up through its AbortSignal.',
    remedy: 'Nothing needs mending if this was intended.',
  },
  QUEUE_FULL: {
    retryable: true,
    meaning: 'A bounded queue had no room for another waiter.',
    remedy: 'Shed load or retry later; a longer queue would only make everyone wait longer.',
  },
  CIRCUIT_OPEN: {
    retryable: true,
    meaning: 'A dependency failed too often of late and is being left alone for a while.',
    remedy: 'Mend the dependency; calls go through again once a probe succeeds.',
  },
  CLOSED: {
    retryable: false,
    meaning: 'The object was used after close().',
    remedy: 'Create a new one, or close it later.',
  },
  IDENTIFIER_INVALID: {
    retryable: false,
    meaning: 'A name or text cannot be written into SQL.',
    remedy: 'Use text without NUL characters and without lone surrogates, names of 1 to 63 bytes.',
  },
  DURATION_INVALID: {
    retryable: false,
    meaning: 'A duration was not written as a number with a unit.',
    remedy: "Write a number and a unit: '250ms', '30s', '5m', '1h', '7d' or '1h30m'.",
  },
});
