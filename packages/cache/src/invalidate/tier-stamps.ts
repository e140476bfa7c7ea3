import type { Coherence } from '../coherence.js';
import type { LocalStamps } from '../tiers/memory/local-stamps.js';
import type { SharedTier } from '../tiers/tier.js';

/**
 * Stamps of tags, prefixes and the namespace, as one shared tier has them.
 *
 * A stamp is a value that the tier never gave out before; entries carry the stamps that stood *before*
 * their load began, and count only while these are unchanged. Each tier has stamps of its own, as it has
 * leases of its own, so that no tier's correctness hangs on another's being up.
 *
 * Current stamps may be remembered as long as the bus vouches for them, within the bound; whoever needs
 * certainty (a strict namespace, a promotion into another tier) asks the tier.
 */
interface RememberedStamp {
  readonly value: string;
  /** It alone by its name: what most keys depend on, so that a hit makes no map. */
  readonly alone: ReadonlyMap<string, string>;
  readonly goodAsOfMs: number;
  readonly era: string;
}

/** Current stamps by name, and since when they are known to be right. */
export interface CurrentStamps {
  readonly byName: ReadonlyMap<string, string>;
  readonly goodAsOfMs: number;
}

const NONE: ReadonlyMap<string, string> = new Map();
const MAX_REMEMBERED = 20_000;

export class TierStamps {
  readonly #remembered = new Map<string, RememberedStamp>();

  constructor(
    private readonly tier: SharedTier,
    private readonly address: (name: string) => string,
    private readonly local: LocalStamps,
    private readonly coherence: Coherence,
    private readonly boundMs: number,
    private readonly monotonicMs: () => number,
  ) {}

  /** Stamps from memory, or undefined unless all are there and vouched for. */
  remembered(names: readonly string[], era: string): CurrentStamps | undefined {
    const nowMs = this.monotonicMs();
    if (names.length === 0) return { byName: NONE, goodAsOfMs: nowMs };
    if (names.length === 1) {
      const stamp = this.#vouchedFor(names[0] as string, era, nowMs);
      return stamp && { byName: stamp.alone, goodAsOfMs: this.#goodAsOfMs(stamp, nowMs) };
    }
    const byName = new Map<string, string>();
    let goodAsOfMs = nowMs;
    for (const name of names) {
      const stamp = this.#vouchedFor(name, era, nowMs);
      if (stamp === undefined) return undefined;
      byName.set(name, stamp.value);
      goodAsOfMs = this.#goodAsOfMs(stamp, goodAsOfMs);
    }
    return { byName, goodAsOfMs };
  }

  #vouchedFor(name: string, era: string, nowMs: number): RememberedStamp | undefined {
    const stamp = this.#remembered.get(name);
    if (stamp === undefined || stamp.era !== era) return undefined;
    return this.coherence.isWithin(this.boundMs, stamp.goodAsOfMs, nowMs) ? stamp : undefined;
  }

  #goodAsOfMs(stamp: RememberedStamp, atMost: number): number {
    return Math.min(atMost, Math.max(stamp.goodAsOfMs, this.coherence.asOfMs));
  }

  /** Stamps as the tier has them now. */
  async ask(names: readonly string[], era: string): Promise<CurrentStamps> {
    const askedAtMs = this.monotonicMs();
    if (names.length === 0) return { byName: NONE, goodAsOfMs: askedAtMs };
    const { sequence } = this.local;
    const values = await this.tier.readStamps(names.map(this.address));
    const byName = new Map<string, string>();
    names.forEach((name, index) => {
      const value = values[index] as string;
      byName.set(name, value);
      // An invalidation heard while we asked may be newer than the answer.
      if (!this.local.isUnchangedSince(sequence, name)) return;
      const alone = new Map([[name, value]]);
      this.#remembered.set(name, { value, alone, goodAsOfMs: askedAtMs, era });
      // Whichever is forgotten is asked for again, so the oldest will do.
      if (this.#remembered.size > MAX_REMEMBERED) this.#forgetOldest();
    });
    return { byName, goodAsOfMs: askedAtMs };
  }

  forget(name: string): void {
    this.#remembered.delete(name);
  }

  #forgetOldest(): void {
    for (const name of this.#remembered.keys()) {
      this.#remembered.delete(name);
      return;
    }
  }

  forgetAll(): void {
    this.#remembered.clear();
  }
}
