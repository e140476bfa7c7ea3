import { abortedError, type Clock, type ScheduledCall } from '@shardline/core';
import type { TopologyState } from './topology-state.js';
import { hasReached, type WalPosition } from './wal-position.js';

/**
 * Replicas on their way to a position that a session wants to read at.
 *
 * A replica that keeps up is there within milliseconds, long before the monitor would ask it again. So while
 * somebody waits, or will read soon, those that are behind are asked every few milliseconds, one question at a
 * time for each. Nobody is asked closely for longer than a moment: what takes longer is lag.
 */
export interface CatchUpOptions {
  readonly clock: Clock;
  /** Between questions to one replica. */
  readonly intervalMs: number;
  readonly topology: () => TopologyState;
  /** Asks a server, unless a question to it is under way: positions only grow, so that its answer does as well. */
  readonly ask: (name: string) => void;
  readonly isRunning: () => boolean;
}

/** Catching up is watched closely for this long; what takes longer is lag, and the monitor's own interval's business. */
const LONGEST_CATCH_UP_MS = 2000;

/** Asks replicas closely until they hold what sessions want to read. */
export class CatchUp {
  readonly #options: CatchUpOptions;
  #expected: { wanted: WalPosition; untilMs: number; timer: ScheduledCall } | undefined;

  constructor(options: CatchUpOptions) {
    this.#options = options;
  }

  /**
   * The first of some replicas that is known to have reached a position; undefined if none has in time.
   * Replicas are asked closely for as long as somebody waits.
   */
  async whenReached(
    names: readonly string[],
    wanted: WalPosition,
    wait: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<string | undefined> {
    const { clock, intervalMs, isRunning } = this.#options;
    const deadlineMs = clock.monotonicMs() + wait.timeoutMs;
    for (;;) {
      const found = names.find((name) => this.#hasReached(name, wanted));
      if (found !== undefined) return found;
      if (wait.signal?.aborted) throw abortedError('Waiting for a replica', wait.signal.reason);
      const leftMs = deadlineMs - clock.monotonicMs();
      if (leftMs <= 0 || !isRunning()) return undefined;
      await this.#askAndPause(names, Math.min(leftMs, intervalMs));
    }
  }

  /**
   * A session will want to read at this position soon: replicas are asked closely until they have it,
   * so that by the time of the read the proof is at hand and costs no round trip.
   */
  expect(wanted: WalPosition): void {
    const { clock, isRunning } = this.#options;
    if (!isRunning()) return;
    const untilMs = clock.monotonicMs() + LONGEST_CATCH_UP_MS;
    if (this.#expected === undefined) {
      this.#expected = { wanted, untilMs, timer: this.#schedule() };
      return;
    }
    if (!hasReached(this.#expected.wanted, wanted)) this.#expected.wanted = wanted;
    this.#expected.untilMs = untilMs;
  }

  /** Nothing is expected any more. */
  stop(): void {
    this.#expected?.timer.cancel();
    this.#expected = undefined;
  }

  #schedule(): ScheduledCall {
    return this.#options.clock.schedule(this.#options.intervalMs, () => this.#lookAgain());
  }

  #lookAgain(): void {
    const expected = this.#expected;
    if (expected === undefined) return;
    const { topology, clock, ask } = this.#options;
    const behind = topology().replicas.filter((name) => !this.#hasReached(name, expected.wanted));
    if (behind.length === 0 || clock.monotonicMs() >= expected.untilMs) {
      this.#expected = undefined;
      return;
    }
    for (const name of behind) ask(name);
    expected.timer = this.#schedule();
  }

  async #askAndPause(names: readonly string[], pauseMs: number): Promise<void> {
    const paused = new Promise<void>((resolve) => {
      this.#options.clock.schedule(pauseMs, resolve, true);
    });
    for (const name of names) this.#options.ask(name);
    await paused;
  }

  #hasReached(name: string, wanted: WalPosition): boolean {
    const view = this.#options.topology().nodes.get(name);
    return (
      view?.position !== undefined && view.fault === undefined && hasReached(view.position, wanted)
    );
  }
}
