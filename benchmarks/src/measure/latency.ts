import { build, type Histogram } from 'hdr-histogram-js';

const LONGEST_US = 600_000_000;

/** Latencies in microseconds, three digits exact, however many there are. */
export function latencyHistogram(): Histogram {
  return build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: LONGEST_US,
    numberOfSignificantValueDigits: 3,
  });
}

export function recordMs(histogram: Histogram, ms: number): void {
  histogram.recordValue(Math.min(LONGEST_US, Math.max(1, Math.round(1000 * ms))));
}

export function percentileMs(histogram: Histogram, percent: number): number {
  return histogram.getValueAtPercentile(percent) / 1000;
}

/** p50 to p99.9, for the details of a row. */
export function percentiles(histogram: Histogram, whose: string): Record<string, number> {
  return Object.fromEntries(
    [50, 95, 99, 99.9].map((percent) => [
      `${whose} p${percent}, ms`,
      percentileMs(histogram, percent),
    ]),
  );
}
