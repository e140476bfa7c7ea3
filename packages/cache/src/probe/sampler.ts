import type { HotKeys } from '../warm/hot-keys.js';
import type { Probe } from './probe.js';

/**
 * Looks at a share of the reads, for the probe and for the count of hot keys.
 *
 * A hit of L1 is to cost nothing for it: its own counter, which it raises anyhow, is compared with the
 * number at which the next one is looked at. The strides between are drawn at random around their mean,
 * so that no rhythm of the callers hides keys.
 */
const HOT_STRIDE = 16;

export class Sampler {
  readonly #stride: number;

  constructor(
    private readonly random: () => number,
    private readonly hotKeys: HotKeys | undefined,
    private readonly probe: Probe | undefined,
    /** Share of the hits that are probed. */
    private readonly probeShare: number,
  ) {
    this.#stride = hotKeys === undefined ? 1 / probeShare : HOT_STRIDE;
  }

  /** How many hits from now the next one is looked at. */
  nextStride(): number {
    return 1 + Math.floor(this.random() * 2 * (this.#stride - 1) + 0.5);
  }

  /** A hit of L1 whose turn it was. */
  hit(key: string, value: unknown): void {
    this.hotKeys?.add(key, this.#stride);
    this.#maybeProbe(key, value, this.probeShare * this.#stride);
  }

  /** A read that went further than L1; there are few enough to count all. */
  slow(key: string, value: unknown): void {
    this.hotKeys?.add(key, 1);
    this.#maybeProbe(key, value, this.probeShare);
  }

  #maybeProbe(key: string, value: unknown, share: number): void {
    if (this.probe !== undefined && this.random() < share) this.probe.offer(key, value);
  }
}
