/** Data as JSON that loses nothing: bigints as decimal text, times as ISO, bytes as PostgreSQL writes them (pure). */

/** A document on one line, or indented for people who look at it. */
export function toJson(value: unknown, indentation?: number): string {
  return JSON.stringify(plain(value), undefined, indentation);
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  // JSON has no infinity; a shard without a fair share has infinitely much of it.
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]));
}
