/**
 * Whole numbers in doubles.
 *
 * Redis' Lua and JavaScript share one kind of number, the IEEE double, and below 2^53 it counts
 * without error. Everything that decides is kept there, so that both sides give the same answer to the
 * last unit and nothing drifts. Bucket4j's author rejected Lua for its lack of 64-bit integers
 * (bucket4j#602); a limit that needs more than 53 bits is refused when it is declared.
 */

/** The first number beyond which doubles skip whole numbers. */
export const EXACT_LIMIT = 2 ** 53;

/** Greatest common divisor of two positive whole numbers. */
export function greatestCommonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

/**
 * floor(value * numerator / denominator) for positive whole numerators and denominators.
 *
 * Reduced and split into whole and rest first, so that it is exact for every pair of limits that people
 * write. Where even the rest's product leaves the range, the margin of 4 is above the rounding of two
 * operations on numbers below 2^53: then it is a few units too low, never too high.
 * Mirrored in `lua/entry.lua`.
 */
export function scaleDown(value: number, numerator: number, denominator: number): number {
  const divisor = greatestCommonDivisor(numerator, denominator);
  const times = numerator / divisor;
  const over = denominator / divisor;
  const whole = Math.floor(value / over);
  const rest = value - whole * over;
  if (rest * times < EXACT_LIMIT) return whole * times + Math.floor((rest * times) / over);
  return whole * times + Math.floor((rest / over) * times) - 4;
}
