import type { ProbeResult } from '../topology/node-state.js';

/**
 * Finds out how far a server had got when something had been done there.
 *
 * The answer must come from a question that was *sent* after the deed: asked earlier, it may miss the
 * commit record. One question answers for everything that was done before it was sent, so whoever
 * asks while one is under way shares the next; under load one small statement per round trip covers
 * any number of writes. Until it is answered a session stays where it was.
 *
 * Questions about reads may be held back a little, so that one covers more of them; a write is asked
 * about at once, since its session will want to read soon.
 */
export interface PositionCaptureOptions {
  /** Asks a server. Called at most once at a time for each. */
  readonly ask: (node: string) => Promise<ProbeResult>;
  /** Told of every answer, with the monotonic time of asking. */
  readonly onAnswer?: (node: string, answer: ProbeResult, sentAtMs: number) => void;
  readonly monotonicMs: () => number;
}

interface Line {
  underWay: Promise<ProbeResult> | undefined;
  next: Promise<ProbeResult> | undefined;
}

/** Coalesces questions about positions, one line of questions per server. */
export class PositionCapture {
  readonly #options: PositionCaptureOptions;
  readonly #lines = new Map<string, Line>();
  #asked = 0;

  constructor(options: PositionCaptureOptions) {
    this.#options = options;
  }

  /** How many questions were sent so far. */
  get asked(): number {
    return this.#asked;
  }

  /** What the server says in answer to a question that is sent after this call. */
  capture(node: string): Promise<ProbeResult> {
    let line = this.#lines.get(node);
    if (line === undefined) {
      line = { underWay: undefined, next: undefined };
      this.#lines.set(node, line);
    }
    line.next ??= this.#queue(node, line);
    return line.next;
  }

  async #queue(node: string, line: Line): Promise<ProbeResult> {
    if (line.underWay !== undefined) await line.underWay.catch(noted);
    // The rest of this turn of the event loop, too, when nothing is under way: answers that came in together share.
    await endOfTurn();
    const answer = this.#send(node);
    line.underWay = answer;
    line.next = undefined;
    try {
      return await answer;
    } finally {
      if (line.underWay === answer) line.underWay = undefined;
    }
  }

  async #send(node: string): Promise<ProbeResult> {
    this.#asked += 1;
    const sentAtMs = this.#options.monotonicMs();
    const answer = await this.#options.ask(node);
    this.#options.onAnswer?.(node, answer, sentAtMs);
    return answer;
  }
}

function endOfTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Its own callers were told of the failure; the next question does not depend on it. */
function noted(): void {}
