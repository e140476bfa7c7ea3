/** Figures as people read them. All pure; what is not known is a dash. */

const UNKNOWN = '–';

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** `1.5 GB`; decimal units, as disks and networks are sold. */
export function formatBytes(bytes: number | undefined): string {
  if (bytes === undefined) return UNKNOWN;
  let value = bytes;
  let unit = 0;
  // 999.95 would be written as 1000.0: the next unit takes over where rounding does.
  while (Math.abs(value) >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || Math.abs(value) >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${BYTE_UNITS[unit]}`;
}

/** `48.0 MB/s`. */
export function formatRate(bytesPerSecond: number | undefined): string {
  return bytesPerSecond === undefined ? UNKNOWN : `${formatBytes(bytesPerSecond)}/s`;
}

/** `1,234,567`. */
export function formatCount(count: number | undefined): string {
  return count === undefined ? UNKNOWN : Math.round(count).toLocaleString('en-GB');
}

/** `43 %`, never more than 100 and not 100 before the end. */
export function formatPercent(done: number, total: number): string {
  if (total <= 0) return UNKNOWN;
  const share = Math.min(1, Math.max(0, done / total));
  return `${Math.floor(share * 100)} %`;
}

const SPANS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const;

/** `2h 5m`, `1m 20s`, `850 ms`: the two largest units. */
export function formatSpan(milliseconds: number | undefined): string {
  if (milliseconds === undefined) return UNKNOWN;
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  let rest = Math.round(milliseconds / 1000) * 1000;
  const parts: string[] = [];
  for (const [unit, unitMs] of SPANS) {
    const count = Math.floor(rest / unitMs);
    rest -= count * unitMs;
    if (count > 0) parts.push(`${count}${unit}`);
    else if (parts.length > 0) break;
  }
  return parts.slice(0, 2).join(' ');
}

/** `2026-11-24 18:03:12 UTC`. */
export function formatTime(sinceEpochMs: number): string {
  return `${new Date(sinceEpochMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** `1 slot`, `2 slots`. */
export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : nouns}`;
}
