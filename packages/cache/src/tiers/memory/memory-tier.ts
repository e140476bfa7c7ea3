import { AdmissibleEntry, type AdmissionOptions, AdmittedEntries } from './admission.js';
import { Epochs } from './epochs.js';
import { type Disturber, type KeyWatch, KeyWatches } from './key-watch.js';
import { LocalStamps } from './local-stamps.js';

/**
 * L1: values of one namespace in this process, as objects.
 *
 * A hit asks four things, each by one comparison: is it there; is it too young to need attention
 * (refresh, expiry); was any tag or prefix invalidated since it was last looked at; and is it known to have
 * been good recently enough? The last is the whole of bounded coherence. An entry was good when the read
 * that made it began (`goodAsOfMs`). It is also good as of the moment up to which the bus has been heard
 * out, since an invalidation heard would have removed it. The later of the two must not lie back further
 * than the bound. So lost messages, dropped connections and a frozen bus need no case of their own.
 */
export class MemoryEntry extends AdmissibleEntry {
  /** The number up to which its names are known to be unchanged. */
  verifiedSequence: number;

  constructor(
    key: string,
    readonly value: unknown,
    bytes: number,
    /** When the read that made it began, on the monotonic clock. */
    readonly goodAsOfMs: number,
    readonly freshUntilMs: number,
    readonly staleUntilMs: number,
    /** From here on a hit goes the slow way: the entry may be due for a refresh, or expired. */
    readonly attentionAtMs: number,
    readonly loadMs: number,
    /** The number of the local stamps before the read that made it. */
    readonly sequence: number,
    /** Tags and prefixes that it depends on. */
    readonly names: readonly string[],
  ) {
    super(key, bytes);
    this.verifiedSequence = sequence;
  }
}

/** What a reader notes before it reads below L1, and shows when it fills. */
export interface MemoryTicket {
  readonly epoch: number;
  readonly sequence: number;
  /** Of a write: what stands for the epoch, without other keys' part in it. */
  readonly watch?: KeyWatch;
}

export class MemoryTier {
  readonly entries: AdmittedEntries<MemoryEntry>;
  readonly stamps = new LocalStamps();
  readonly watches = new KeyWatches();
  readonly #epochs = new Epochs();
  refusedFills = 0;

  constructor(options: AdmissionOptions) {
    this.entries = new AdmittedEntries(options);
  }

  /** The epoch and number to fill under. Take it before reading anything below. */
  ticket(key: string): MemoryTicket {
    return { epoch: this.#epochs.of(key), sequence: this.stamps.sequence };
  }

  /** Takes an entry in, unless its key or one of its names was invalidated since the ticket. */
  fill(ticket: MemoryTicket, entry: MemoryEntry): boolean {
    const isUntouched =
      ticket.watch === undefined
        ? this.#epochs.of(entry.key) === ticket.epoch
        : !ticket.watch.isDisturbed;
    const stands = isUntouched && this.stamps.areUnchangedSince(ticket.sequence, entry.names);
    if (!stands) {
      this.refusedFills += 1;
      return false;
    }
    return this.entries.put(entry);
  }

  /** Whether the entry's tags and prefixes are still as they were; remembers a yes. */
  areNamesUnchanged(entry: MemoryEntry): boolean {
    if (entry.verifiedSequence === this.stamps.sequence) return true;
    if (!this.stamps.areUnchangedSince(entry.sequence, entry.names)) {
      this.entries.delete(entry.key);
      return false;
    }
    entry.verifiedSequence = this.stamps.sequence;
    return true;
  }

  invalidate(key: string, by: Disturber = 'others'): void {
    this.#epochs.raise(key);
    this.watches.disturb(key, by);
    this.entries.delete(key);
  }

  /** Tags or prefixes: their entries are found invalid when next asked for. */
  invalidateName(name: string): void {
    this.stamps.invalidate(name);
  }

  clear(): void {
    this.#epochs.raiseAll();
    this.watches.disturbAll();
    this.stamps.invalidateAll();
    this.entries.clear();
  }
}
