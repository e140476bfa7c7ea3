import type { Clock } from '@shardline/core';
import type { RedisClient } from '@shardline/core/redis';
import type { Seen } from '../tier.js';
import { tierUnavailable } from '../tier-unavailable.js';

/**
 * What is asked for in one turn of the event loop goes to Redis as one MGET, each address once.
 *
 * One command, one reply and one timer for all callers of a turn: with 64 callers that is what makes an
 * L2 hit cost less than a GET each. A lone caller pays one `nextTick`. In a Cluster each key goes by itself:
 * an MGET may not span slots.
 */
interface Question {
  readonly address: string;
  /** Of the server's run that is asked. */
  readonly era: string;
  resolve: (seen: Seen) => void;
  reject: (error: Error) => void;
  answer: Promise<Seen>;
}

/** A reply of megabytes would hold up every other command on the connection. */
const MAX_BATCH = 256;

export class ReadBatch {
  #waiting = new Map<string, Question>();

  constructor(
    private readonly client: RedisClient,
    private readonly isCluster: boolean,
    private readonly timeoutMs: number,
    private readonly clock: Clock,
  ) {}

  /** What stands under an address, as the tier gives it. Of one turn all are of one era. */
  get(address: string, era: string): Promise<Seen> {
    const same = this.#waiting.get(address);
    if (same !== undefined) return same.answer;
    const question = { address, era } as Question;
    question.answer = new Promise((resolve, reject) => {
      question.resolve = resolve;
      question.reject = reject;
    });
    this.#waiting.set(address, question);
    if (this.#waiting.size === 1) process.nextTick(this.#flush);
    return question.answer;
  }

  readonly #flush = (): void => {
    const questions = [...this.#waiting.values()];
    this.#waiting = new Map();
    for (let start = 0; start < questions.length; start += MAX_BATCH) {
      const batch =
        questions.length <= MAX_BATCH ? questions : questions.slice(start, start + MAX_BATCH);
      this.#send(batch);
    }
  };

  #send(batch: readonly Question[]): void {
    const late = () => {
      const error = tierUnavailable('l2', `Redis did not answer within ${this.timeoutMs} ms`);
      for (const question of batch) question.reject(error);
    };
    // If it was this process that was busy, the answer lies in the socket: it is read before the end.
    const onTime = () => setImmediate(late);
    const timer = this.clock.schedule(this.timeoutMs, onTime, true);
    const asked = this.isCluster ? this.#askEach(batch) : this.#askAll(batch);
    asked.then(() => timer.cancel());
  }

  async #askAll(batch: readonly Question[]): Promise<void> {
    try {
      // MGET for one, too: it takes a hash or a list under our key for nothing, where GET fails.
      const values = await this.client.mgetBuffer(batch.map(({ address }) => address));
      for (let index = 0; index < batch.length; index += 1) {
        answer(batch[index] as Question, values[index] ?? null);
      }
    } catch (error) {
      for (const question of batch) question.reject(error as Error);
    }
  }

  /** Each by itself, so that a master that is away takes nobody with it who asks another. */
  async #askEach(batch: readonly Question[]): Promise<void> {
    await Promise.all(
      batch.map(async (question) => {
        try {
          answer(question, await this.#getOne(question.address));
        } catch (error) {
          question.reject(error as Error);
        }
      }),
    );
  }

  async #getOne(address: string): Promise<Buffer | null> {
    try {
      return await this.client.getBuffer(address);
    } catch (error) {
      if ((error as Error).message.startsWith('WRONGTYPE')) return null;
      throw error;
    }
  }
}

function answer({ resolve, era }: Question, found: Buffer | null): void {
  const bytes = found ?? undefined;
  resolve({ bytes, mark: bytes, era });
}
