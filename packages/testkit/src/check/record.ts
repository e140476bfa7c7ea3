/**
 * The lines of a history file and their shape.
 *
 * A line is one JSON object. Numbers of nanoseconds are decimal strings there, since JSON numbers
 * lose digits above 2^53. Every field is checked by name and type on the way in: a misspelt field
 * would otherwise be a check that silently looks at nothing.
 */
import { MalformedHistoryError } from './malformed-history-error.js';
import { OPERATION_KINDS, type OperationFields, type OperationKind } from './operation.js';
import type { Outcome } from './outcome.js';

/** Written before the first byte of an operation leaves. */
export interface InvokeRecord extends OperationFields {
  readonly type: 'invoke';
  readonly op: string;
  readonly process: string;
  readonly kind: OperationKind;
  readonly atNs: bigint;
}

/** Written when an operation has ended, however it ended. */
export interface ReturnRecord extends OperationFields {
  readonly type: 'return';
  readonly op: string;
  readonly outcome: Outcome;
  readonly atNs: bigint;
}

/** Written for what happened beside the operations. */
export interface EventRecord {
  readonly type: 'event';
  readonly name: string;
  readonly atNs: bigint;
  readonly untilNs?: bigint | undefined;
  readonly subject?: string | undefined;
  readonly state?: string | undefined;
  readonly delayNs?: bigint | undefined;
  readonly detail?: Readonly<Record<string, unknown>> | undefined;
}

/** One line of a history file. */
export type HistoryRecord = InvokeRecord | ReturnRecord | EventRecord;

type FieldCheck = (value: unknown) => boolean;

const isText: FieldCheck = (value) => typeof value === 'string';
const isName: FieldCheck = (value) => typeof value === 'string' && value !== '';
const isCount: FieldCheck = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isNanoseconds: FieldCheck = (value) => typeof value === 'string' && /^\d{1,19}$/.test(value);
const isTexts: FieldCheck = (value) => Array.isArray(value) && value.every(isText);
const isObject: FieldCheck = (value) =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isOneOf =
  (...allowed: readonly string[]): FieldCheck =>
  (value) =>
    allowed.includes(value as string);

const NANOSECOND_FIELDS = ['atNs', 'untilNs', 'delayNs', 'deadlineNs'] as const;

const ROW_FIELDS: Readonly<Record<string, FieldCheck>> = {
  key: isText,
  version: isCount,
  node: isText,
};

const OPERATION_FIELDS: Readonly<Record<keyof OperationFields, FieldCheck>> = {
  key: isText,
  keys: isTexts,
  slot: isCount,
  value: (value) => value === null || isText(value),
  version: isCount,
  rows: (value) => Array.isArray(value) && value.every(isRow),
  count: isCount,
  parts: isTexts,
  node: isText,
  epoch: isCount,
  routing: isOneOf('leased', 'verified'),
  tokenIn: (value) => isText(value) || isTexts(value),
  tokenOut: isText,
  serverTimeUs: isCount,
  cost: isCount,
  allowed: (value) => typeof value === 'boolean',
  level: isCount,
  tier: isText,
  sqlstate: isText,
  error: isText,
  deadlineNs: isNanoseconds,
  detail: isObject,
};

const REQUIRED: Readonly<Record<HistoryRecord['type'], Readonly<Record<string, FieldCheck>>>> = {
  invoke: { op: isName, process: isName, kind: isOneOf(...OPERATION_KINDS), atNs: isNanoseconds },
  return: { op: isName, outcome: isOneOf('ok', 'fail', 'info'), atNs: isNanoseconds },
  event: { name: isName, atNs: isNanoseconds },
};

const OPTIONAL: Readonly<Record<HistoryRecord['type'], Readonly<Record<string, FieldCheck>>>> = {
  invoke: OPERATION_FIELDS,
  return: OPERATION_FIELDS,
  event: {
    untilNs: isNanoseconds,
    subject: isText,
    state: isText,
    delayNs: isNanoseconds,
    detail: isObject,
  },
};

/** A record as its line, newline included. */
export function encodeRecord(record: HistoryRecord): string {
  const line = JSON.stringify(record, (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
  return `${line}\n`;
}

/** The record of one line, without its newline. */
export function decodeRecord(line: string, where: { source: string; line: number }): HistoryRecord {
  const raw = parseObject(line, where);
  const type = raw['type'];
  if (type !== 'invoke' && type !== 'return' && type !== 'event') {
    throw new MalformedHistoryError(`unknown record type ${JSON.stringify(type)}`, where);
  }
  for (const [name, isFit] of Object.entries(REQUIRED[type])) {
    if (!isFit(raw[name])) throw fieldError(type, name, raw[name], where);
  }
  for (const [name, value] of Object.entries(raw)) {
    if (name === 'type' || Object.hasOwn(REQUIRED[type], name)) continue;
    const isFit = Object.hasOwn(OPTIONAL[type], name) ? OPTIONAL[type][name] : undefined;
    if (!isFit?.(value)) throw fieldError(type, name, value, where);
  }
  for (const name of NANOSECOND_FIELDS) {
    if (raw[name] !== undefined) raw[name] = BigInt(raw[name] as string);
  }
  // Every field was checked above against the two tables of its type.
  return raw as unknown as HistoryRecord;
}

function isRow(value: unknown): boolean {
  if (!isObject(value)) return false;
  const row = value as Record<string, unknown>;
  return (
    isText(row['key']) &&
    Object.entries(row).every(([name, field]) =>
      Object.hasOwn(ROW_FIELDS, name) ? ROW_FIELDS[name]?.(field) : false,
    )
  );
}

function parseObject(
  line: string,
  where: { source: string; line: number },
): Record<string, unknown> {
  let raw: unknown;
  try {
    raw = JSON.parse(line);
  } catch {
    throw new MalformedHistoryError(
      `not a line of JSON: ${JSON.stringify(line.slice(0, 80))}`,
      where,
    );
  }
  if (!isObject(raw)) throw new MalformedHistoryError('not a JSON object', where);
  return raw as Record<string, unknown>;
}

function fieldError(
  type: string,
  name: string,
  value: unknown,
  where: { source: string; line: number },
): MalformedHistoryError {
  const known = name in REQUIRED[type as 'invoke'] || name in OPTIONAL[type as 'invoke'];
  const problem = known ? `cannot be ${JSON.stringify(value) ?? 'missing'}` : 'is not known';
  return new MalformedHistoryError(`field "${name}" of a record "${type}" ${problem}`, where);
}
