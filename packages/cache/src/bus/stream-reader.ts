/**
 * What a reader of the stream knows and concludes. Pure: entries and counter values go in, what to do
 * comes out.
 *
 * Each message has a number without gaps. `expected` is the next one. A message with another number, or a
 * counter that is not where the last message left it, means that messages were lost: trimmed away while we
 * were cut off, flushed, or forgotten by a failover. Then everything heard before is void, and reading
 * starts anew from the end of the stream.
 */
export interface StreamEntry {
  readonly id: string;
  readonly number: number;
  readonly origin: string;
  readonly message: string;
}

/** What to do after a look at the stream. */
export type Advance =
  | { readonly gap: false; readonly entries: readonly StreamEntry[] }
  | { readonly gap: true; readonly reason: string };

export class StreamPosition {
  #last: { readonly id: string; readonly number: number } | undefined;

  /** Where to read from; undefined before the first look and after a gap. */
  get id(): string | undefined {
    return this.#last?.id;
  }

  /** Begins at the end of the stream: its last id and the counter. */
  anchor(id: string, number: number): void {
    this.#last = { id, number };
  }

  forget(): void {
    this.#last = undefined;
  }

  /** Takes entries read after the last one. */
  advance(entries: readonly StreamEntry[]): Advance {
    for (const { id, number } of entries) {
      const expected = (this.#last?.number ?? 0) + 1;
      if (number !== expected) {
        return { gap: true, reason: `message ${expected} was expected, ${number} came` };
      }
      this.#last = { id, number };
    }
    return { gap: false, entries };
  }

  /**
   * Compares the counter, read after a look that found nothing more.
   *
   * Ahead of us by messages that are still to be read is no gap; the caller looks again and comes back
   * with `isSecondLook`.
   */
  compare(counter: number, isSecondLook: boolean): 'heard-out' | 'look-again' | 'gap' {
    const number = this.#last?.number ?? 0;
    if (counter === number) return 'heard-out';
    return counter > number && !isSecondLook ? 'look-again' : 'gap';
  }
}

type RawEntry = readonly [id: string, fields: readonly string[]];

/** The entries of an XREAD reply of one stream; undefined for one that is not ours. */
export function parseEntries(reply: unknown): StreamEntry[] | undefined {
  const stream = (reply as readonly (readonly [string, readonly RawEntry[]])[] | null)?.[0];
  if (stream === undefined) return [];
  const entries: StreamEntry[] = [];
  for (const [id, fields] of stream[1]) {
    const byName = new Map<string, string>();
    for (let index = 0; index + 1 < fields.length; index += 2) {
      byName.set(fields[index] as string, fields[index + 1] as string);
    }
    const number = Number(byName.get('n'));
    const origin = byName.get('o');
    const message = byName.get('m');
    if (!Number.isSafeInteger(number) || origin === undefined || message === undefined) {
      return undefined;
    }
    entries.push({ id, number, origin, message });
  }
  return entries;
}
