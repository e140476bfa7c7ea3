import type { NamespaceRuntime } from './runtime.js';

/** The keys of a namespace that its shared tiers can list; of one in memory alone, what memory has. */
export async function* storedKeys(
  { memory, levels, addresses }: NamespaceRuntime,
  signal: AbortSignal | undefined,
): AsyncGenerator<string> {
  if (levels.length === 0) yield* memory.entries.keys();
  const prefix = addresses.valuePrefix;
  for (const { tier } of levels) {
    for await (const address of tier.scan?.(prefix, signal) ?? []) {
      yield address.slice(prefix.length);
    }
  }
}
