import type { Clock, ScheduledCall } from '@shardline/core';

/** What waits for an answer. */
export interface SentRequest {
  /** When its time is up, on the monotonic clock. */
  readonly dueMs: number;
  onDue(): void;
}

/**
 * Requests that are on their way, all with the same time to be answered in: they come due in the order in which they
 * were sent, so one timer serves them all. One for each took a third of what a lone check costs in this process beside
 * the client's own work.
 *
 * The timer does not keep the process running. What is on its way has a socket, or an attempt to connect, that does.
 */
export class SentRequests {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #waiting = new Set<SentRequest>();
  #timer: ScheduledCall | undefined;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** When a request that is sent now comes due. */
  dueMs(): number {
    return this.#clock.monotonicMs() + this.#timeoutMs;
  }

  add(request: SentRequest): void {
    this.#waiting.add(request);
    if (this.#timer === undefined) this.#wait(this.#timeoutMs);
  }

  /** False if it has come due or ended before: everything has then been said. */
  end(request: SentRequest): boolean {
    return this.#waiting.delete(request);
  }

  /** Leaves no timer behind, unless somebody still waits. */
  close(): void {
    if (this.#waiting.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #wait(delayMs: number): void {
    this.#timer = this.#clock.schedule(delayMs, this.#onTime);
  }

  readonly #onTime = (): void => {
    this.#timer = undefined;
    const nowMs = this.#clock.monotonicMs();
    const due: SentRequest[] = [];
    for (const request of this.#waiting) {
      if (request.dueMs > nowMs) {
        this.#wait(request.dueMs - nowMs);
        break;
      }
      due.push(request);
      this.#waiting.delete(request);
    }
    // Last: whoever is told may send another at once, for which the timer must stand as it should.
    for (const request of due) request.onDue();
  };
}
