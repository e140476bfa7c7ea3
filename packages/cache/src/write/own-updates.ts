import { IDENTITY_BYTES } from '../entry/frame.js';

/**
 * Updates of one key that overlap in one process.
 *
 * The row that everybody writes is the row that everybody reads. A tier tells an update only that something else is in the
 * place of what it saw; not knowing which of the two is later it would invalidate, and the readers load. Of updates of
 * one process more is known: what each has put in the place of what, and, if the caller can tell, which is later.
 *
 *     B saw S, and S -> A was done here:     A later than B: B has nothing to do.     B later than A: A -> B.
 *
 * Each step replaced exactly the state before it, so in the whole chain there is no change of anybody else.
 */
export interface OwnValue {
  readonly identity: string;
  readonly value: unknown;
}

interface Step extends OwnValue {
  readonly saw: string;
  readonly number: number;
}

interface Key {
  /** What the updates under way have to know of: steps from this number on. In the order in which they began. */
  readonly underWay: Set<OwnUpdate>;
  steps: Step[];
}

/** One update that is under way. */
export interface OwnUpdate {
  readonly key: string;
  readonly firstStep: number;
}

/** The updates of one namespace that are under way, and what they have replaced. */
export class OwnUpdates {
  readonly #keys = new Map<string, Key>();
  #nextStep = 0;

  /** Before the update looks at the tier. */
  begin(key: string): OwnUpdate {
    const update = { key, firstStep: this.#nextStep };
    const known = this.#keys.get(key);
    if (known === undefined) this.#keys.set(key, { underWay: new Set([update]), steps: [] });
    else known.underWay.add(update);
    return update;
  }

  end(update: OwnUpdate): void {
    const known = this.#keys.get(update.key);
    if (known === undefined) return;
    known.underWay.delete(update);
    const [oldest] = known.underWay;
    if (oldest === undefined) this.#keys.delete(update.key);
    else known.steps = known.steps.filter(({ number }) => number >= oldest.firstStep);
  }

  /** An update has put its value in the place of what was seen. */
  replaced(key: string, saw: string, { identity, value }: OwnValue): void {
    this.#keys.get(key)?.steps.push({ saw, identity, value, number: this.#nextStep });
    this.#nextStep += 1;
  }

  /** The last value that this process has put, step by step, in the place of what was seen; undefined if none. */
  inPlaceOf(key: string, saw: string): OwnValue | undefined {
    let last: OwnValue | undefined;
    for (const step of this.#keys.get(key)?.steps ?? []) {
      if (step.saw === (last?.identity ?? saw)) last = step;
    }
    return last;
  }
}

/** What tells one state of a tier's entry from every other. */
export function identityOf(bytes: Buffer): string {
  return bytes.toString('latin1', 0, IDENTITY_BYTES);
}
