import { distance } from 'fastest-levenshtein';
import * as v from 'valibot';
import { type Duration, durationFault, durationMs } from './duration.js';
import { coreErrors, ShardlineError } from './errors.js';

/**
 * Options are checked once, where they enter, and every fault is named at once: a user who mends one
 * line only to be told of the next has been told too little. Schemas are valibot's; this file adds
 * what it does not know: durations, the nearest right name for a mistyped one, and our error.
 */

/** One thing that is wrong with a configuration. */
export interface ConfigurationFault {
  /** Where: `replicas[1].port`. */
  readonly path: string;
  /** What is wrong there and what was expected. */
  readonly message: string;
}

/** Refuses a configuration, naming all of its faults. */
export function configurationError(
  subject: string,
  faults: readonly ConfigurationFault[],
  cause?: unknown,
): ShardlineError {
  const lines = faults.map(
    ({ path, message }) => `\n  - ${path === '' ? subject : path}: ${message}`,
  );
  const count = faults.length === 1 ? 'one fault' : `${faults.length} faults`;
  return new ShardlineError(
    coreErrors.CONFIG_INVALID,
    `The options of ${subject} have ${count}:${lines.join('')}\n`,
    { ...(cause === undefined ? {} : { cause }), details: { subject, faults } },
  );
}

/** A duration with its unit, resolved to milliseconds. Bounds are inclusive. */
export function durationOption(bounds: { min?: Duration; max?: Duration } = {}) {
  const minMs = bounds.min === undefined ? 0 : durationMs(bounds.min);
  const maxMs = bounds.max === undefined ? Number.POSITIVE_INFINITY : durationMs(bounds.max);
  return v.pipe(
    v.custom<Duration>(
      (value) => durationFault(value) === undefined,
      (issue) => durationFault(issue.input) ?? 'is no duration',
    ),
    v.transform((value) => durationMs(value)),
    v.check(
      (milliseconds) => milliseconds >= minMs && milliseconds <= maxMs,
      () =>
        bounds.max === undefined
          ? `must be at least '${bounds.min}'`
          : `must be from '${bounds.min ?? '0ms'}' to '${bounds.max}'`,
    ),
  );
}

/** A whole number within bounds, both inclusive. */
export function integerOption(min: number, max: number = Number.MAX_SAFE_INTEGER) {
  const range = max === Number.MAX_SAFE_INTEGER ? `of ${min} or more` : `from ${min} to ${max}`;
  return v.custom<number>(
    (value) => Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max,
    (issue) => `must be a whole number ${range}, received ${issue.received}`,
  );
}

/**
 * Checks options against a schema and fills in its defaults.
 *
 * @throws ShardlineError `CONFIG_INVALID`, with every fault in `details.faults`.
 */
export function checkOptions<
  const Schema extends v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>>,
>(schema: Schema, input: unknown, subject: string): v.InferOutput<Schema> {
  const result = v.safeParse(schema, input);
  if (result.success) return result.output;
  throw configurationError(
    subject,
    result.issues.map((issue) => ({
      path: pathOf(issue),
      message: messageOf(issue, schema),
    })),
  );
}

function pathOf(issue: v.BaseIssue<unknown>): string {
  const keys = (issue.path ?? []).map((item) => ('key' in item ? item.key : '?'));
  return keys.reduce<string>(
    (path, key) =>
      typeof key === 'number'
        ? `${path}[${key}]`
        : path === ''
          ? String(key)
          : `${path}.${String(key)}`,
    '',
  );
}

function messageOf(issue: v.BaseIssue<unknown>, root: unknown): string {
  if (issue.type !== 'strict_object') return issue.message;
  const key = issue.path?.at(-1);
  const name = key !== undefined && 'key' in key ? String(key.key) : '';
  if (issue.expected !== 'never')
    return issue.message.startsWith('Invalid key') ? 'is missing' : issue.message;
  const nearest = nearestName(name, knownNames(root, issue));
  return nearest === undefined ? 'is no option' : `is no option; did you mean '${nearest}'?`;
}

/** Names that the object which holds the unknown key would have taken. */
function knownNames(root: unknown, issue: v.BaseIssue<unknown>): string[] {
  let schema = root as SchemaNode | undefined;
  for (const item of issue.path?.slice(0, -1) ?? []) {
    schema = unwrap(schema);
    const key = 'key' in item ? item.key : undefined;
    schema =
      typeof key === 'number' ? schema?.item : (schema?.entries?.[String(key)] ?? schema?.value);
  }
  return Object.keys(unwrap(schema)?.entries ?? {});
}

interface SchemaNode {
  readonly entries?: Readonly<Record<string, SchemaNode>>;
  readonly item?: SchemaNode;
  readonly value?: SchemaNode;
  readonly wrapped?: SchemaNode;
  readonly pipe?: readonly SchemaNode[];
}

function unwrap(schema: SchemaNode | undefined): SchemaNode | undefined {
  let current = schema;
  while (current !== undefined && current.entries === undefined && current.item === undefined) {
    const inner: SchemaNode | undefined = current.wrapped ?? current.pipe?.[0];
    if (inner === undefined || inner === current) break;
    current = inner;
  }
  return current;
}

/** The known name that a mistyped one most likely stands for, if any is near enough. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({
      candidate,
      edits: distance(name.toLowerCase(), candidate.toLowerCase()),
    }))
    .sort((a, b) => a.edits - b.edits || a.candidate.localeCompare(b.candidate));
  const best = ranked[0];
  return best !== undefined && best.edits <= Math.max(2, Math.floor(name.length / 3))
    ? best.candidate
    : undefined;
}
