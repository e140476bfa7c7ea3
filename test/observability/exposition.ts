/** The labels of a metric's series, by the name that Prometheus sees. */
export type Exposition = ReadonlyMap<string, readonly Readonly<Record<string, string>>[]>;

/** Reads Prometheus's text format, as far as OpenTelemetry's exporter writes it. */
export function readExposition(text: string): Exposition {
  const found = new Map<string, Record<string, string>[]>();
  for (const line of text.split('\n')) {
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+/.exec(line);
    if (sample === null) continue;
    const labels = [...(sample[2] ?? '').matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)].map(
      ([, label, value]) => [label, value] as const,
    );
    const series = found.get(sample[1] as string) ?? [];
    series.push(Object.fromEntries(labels));
    found.set(sample[1] as string, series);
  }
  return found;
}
