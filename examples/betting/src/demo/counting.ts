import { setTimeout as sleep } from 'node:timers/promises';
import { userCount } from './seed.js';
import type { Finding, Stage } from './stage.js';

/** Counts all users over all shards, again and again, while something happens to the shards. */
export class Counting {
  readonly #stage: Stage;
  readonly #wrong: number[] = [];
  #counts = 0;
  #failures = 0;
  #isOver = false;
  readonly #running: Promise<void>;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.#running = this.#run();
  }

  /** Ends it; whether every count was exact. */
  async end(during: string): Promise<Finding> {
    this.#isOver = true;
    await this.#running;
    const failed = this.#failures === 0 ? '' : `, ${this.#failures} gave no answer`;
    return {
      of: 'P2',
      what: `Every count over all shards is exact ${during}`,
      seen: `${this.#counts} counts of ${userCount(this.#stage.sizes).toLocaleString('en')}, ${this.#wrong.length} wrong${failed}`,
      holds: this.#wrong.length === 0 && this.#counts > 0,
    };
  }

  async #run(): Promise<void> {
    const { layer, sizes, signal } = this.#stage;
    const expected = userCount(sizes);
    while (!this.#isOver && !signal.aborted) {
      try {
        const [row] = await layer.entities.users
          .scatter<{ users: string }>('SELECT user_id FROM users', [], {
            aggregate: { users: 'count' },
            signal,
          })
          .all();
        const found = Number(row?.users);
        if (found !== expected) this.#wrong.push(found);
        this.#counts += 1;
      } catch {
        // A shard that is being replaced cannot be counted; an error is no wrong answer.
        this.#failures += 1;
      }
      await sleep(20);
    }
  }
}
