/**
 * Exact sums of whole numbers and of `numeric`, as the texts in which PostgreSQL sends them.
 *
 * A total over shards must not depend on which shard holds a row, so nothing goes through floating point.
 */

interface Decimal {
  /** The digits, without the point. */
  readonly units: bigint;
  /** How many of them stand behind the point. */
  readonly scale: number;
}

/** `NaN` and the infinities have an arithmetic of their own. */
const SPECIAL = new Set(['NaN', 'Infinity', '-Infinity']);

/** The sum of two decimal texts. */
export function addDecimals(a: string, b: string): string {
  if (SPECIAL.has(a) || SPECIAL.has(b)) return addSpecial(a, b);
  const x = parseDecimal(a);
  const y = parseDecimal(b);
  const scale = Math.max(x.scale, y.scale);
  return formatDecimal({ units: rescale(x, scale) + rescale(y, scale), scale });
}

/** The order of two decimal texts; NaN is greater than everything, as PostgreSQL has it. */
export function compareDecimals(a: string, b: string): number {
  if (SPECIAL.has(a) || SPECIAL.has(b)) return rankSpecial(a) - rankSpecial(b);
  const x = parseDecimal(a);
  const y = parseDecimal(b);
  const scale = Math.max(x.scale, y.scale);
  const difference = rescale(x, scale) - rescale(y, scale);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** Digits behind the point of a quotient: as many as PostgreSQL gives the average of whole numbers. */
const QUOTIENT_SCALE = 16;

/** The quotient of a decimal text and a count, rounded half away from zero. */
export function divideDecimal(sum: string, count: bigint): string {
  if (SPECIAL.has(sum)) return sum;
  const { units, scale } = parseDecimal(sum);
  const wanted = Math.max(scale, QUOTIENT_SCALE);
  const numerator = units * 10n ** BigInt(wanted - scale) * 2n;
  const isNegative = numerator < 0n;
  const rounded = ((isNegative ? -numerator : numerator) + count) / (2n * count);
  return formatDecimal({ units: isNegative ? -rounded : rounded, scale: wanted });
}

function parseDecimal(text: string): Decimal {
  const point = text.indexOf('.');
  if (point < 0) return { units: BigInt(text), scale: 0 };
  return {
    units: BigInt(text.slice(0, point) + text.slice(point + 1)),
    scale: text.length - point - 1,
  };
}

function rescale({ units, scale }: Decimal, wanted: number): bigint {
  return units * 10n ** BigInt(wanted - scale);
}

function formatDecimal({ units, scale }: Decimal): string {
  if (scale === 0) return String(units);
  const digits = String(units < 0n ? -units : units).padStart(scale + 1, '0');
  const at = digits.length - scale;
  return `${units < 0n ? '-' : ''}${digits.slice(0, at)}.${digits.slice(at)}`;
}

function addSpecial(a: string, b: string): string {
  if (a === 'NaN' || b === 'NaN') return 'NaN';
  if (SPECIAL.has(a) && SPECIAL.has(b) && a !== b) return 'NaN';
  return SPECIAL.has(a) ? a : b;
}

function rankSpecial(text: string): number {
  return text === 'NaN' ? 2 : text === 'Infinity' ? 1 : text === '-Infinity' ? -1 : 0;
}
