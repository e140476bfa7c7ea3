/**
 * The server's order of values, over the texts in which it sends them.
 *
 * Rows are merged as text and parsed only when they are handed out: a `timestamptz` parsed into a Date has lost
 * its microseconds, a `bigint` parsed into a number its last digits, and two rows would change places. Types whose
 * order cannot be told from their text (enums, domains over them, json, composite types) are refused. Texts are
 * merged only in the "C" collation, which is the order of bytes: the linguistic order of a server depends on
 * its C library, and two shards need not even agree.
 */

import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import { compareDecimals } from './decimal.js';

export type Comparator = (a: string, b: string) => number;

const OID = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  float4: 700,
  float8: 701,
  bpchar: 1042,
  varchar: 1043,
  date: 1082,
  timestamp: 1114,
  timestamptz: 1184,
  numeric: 1700,
  uuid: 2950,
} as const;

const TEXTS: ReadonlySet<number> = new Set([OID.text, OID.varchar]);

/** Whether a type's values add up as floating point. */
export function isFloat(typeId: number): boolean {
  return typeId === OID.float4 || typeId === OID.float8;
}

/** Whether a type's values can be added exactly. */
export function isExactNumber(typeId: number): boolean {
  return (
    typeId === OID.int2 || typeId === OID.int4 || typeId === OID.int8 || typeId === OID.numeric
  );
}

/**
 * The order of a type.
 *
 * @throws ShardlineError `SCATTER_REFUSED` if the type has no order that can be told from its text.
 */
export function comparatorFor(typeId: number, column: string, collation?: 'C'): Comparator {
  switch (typeId) {
    case OID.int2:
    case OID.int4:
    case OID.oid:
      return (a, b) => Number(a) - Number(b);
    case OID.int8:
    case OID.numeric:
      return compareDecimals;
    case OID.float4:
    case OID.float8:
      return compareFloats;
    // 'f' < 't', '\x…' in hexadecimal and uuids in lower case: the order of the text is the order of the value.
    case OID.bool:
    case OID.bytea:
    case OID.uuid:
      return (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    case OID.date:
    case OID.timestamp:
    case OID.timestamptz:
      return compareMoments;
    default:
      if (TEXTS.has(typeId)) return textComparator(column, collation);
      throw new ShardlineError(
        routerErrors.SCATTER_REFUSED,
        `Rows cannot be merged by column '${column}': its type (oid ${typeId}) has no order that its text would show. Cast it, for instance to text, in the statement.`,
      );
  }
}

function textComparator(column: string, collation: 'C' | undefined): Comparator {
  if (collation === 'C') return compareCodePoints;
  throw new ShardlineError(
    routerErrors.SCATTER_REFUSED,
    `Column '${column}' is a text, and linguistic orders may differ between servers. State \`collation: 'C'\` to order by bytes.`,
  );
}

/** NaN is greater than every other number, as PostgreSQL has it. */
function compareFloats(a: string, b: string): number {
  const x = Number(a);
  const y = Number(b);
  if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
  return x < y ? -1 : x > y ? 1 : 0;
}

/** UTF-8 bytes order as code points do; UTF-16 units do not, beyond the basic plane. */
function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    const x = a.charCodeAt(at);
    const y = b.charCodeAt(at);
    if (x === y) continue;
    const isHighX = x >= 0xd800 && x <= 0xdfff;
    const isHighY = y >= 0xd800 && y <= 0xdfff;
    return isHighX === isHighY ? x - y : isHighX ? 1 : -1;
  }
  return a.length - b.length;
}

const MOMENT =
  /^(\d{4,})-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?(?:([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?)?( BC)?$/;

function compareMoments(a: string, b: string): number {
  const x = microseconds(a);
  const y = microseconds(b);
  return x < y ? -1 : x > y ? 1 : 0;
}

const FOREVER = 2n ** 100n;

/** Microseconds since 1970 of a date or timestamp as PostgreSQL writes it with `DateStyle = ISO`. */
function microseconds(text: string): bigint {
  if (text === 'infinity') return FOREVER;
  if (text === '-infinity') return -FOREVER;
  const match = MOMENT.exec(text);
  if (match === null) {
    throw new ShardlineError(
      routerErrors.SCATTER_REFUSED,
      `'${text}' is no moment in the ISO style; set DateStyle to ISO on the shards.`,
    );
  }
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = ''] = match;
  const signedYear = match[12] === undefined ? Number(year) : 1 - Number(year);
  const days = daysFromCivil(signedYear, Number(month), Number(day));
  const offset =
    (Number(match[9] ?? 0) * 3600 + Number(match[10] ?? 0) * 60 + Number(match[11] ?? 0)) *
    (match[8] === '-' ? -1 : 1);
  const seconds = Number(hour) * 3600 + Number(minute) * 60 + Number(second) - offset;
  return (BigInt(days) * 86_400n + BigInt(seconds)) * 1_000_000n + BigInt(fraction.padEnd(6, '0'));
}

/** Days since 1970-01-01 in the proleptic Gregorian calendar (Hinnant, days_from_civil). */
function daysFromCivil(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}
