import { hashOf } from '../session/open-session.js';

/**
 * Names for the statements of entities, so that each connection parses and plans a text once.
 *
 * A name is made of the text's own hash: whatever connection a pooler in between hands out, what another process has
 * prepared under this name is the same text. A server refuses a prepared statement *before* it runs it, which makes two
 * refusals safe to answer by another try, also of a write:
 *
 * - the table has other columns since (`SELECT *` would give another row): it is prepared anew, under another name;
 * - the connection knows no such name (a pooler that does not keep them, a `DISCARD ALL`): names are given up.
 */
const MAX_TEXTS = 500;

/** Where PostgreSQL says that a plan gives other rows than when it was prepared; its message depends on the language. */
const OTHER_ROWS_ROUTINE = 'RevalidateCachedQuery';
const NO_SUCH_STATEMENT = '26000';

interface Refusal {
  readonly code?: unknown;
  readonly routine?: unknown;
}

/** A text's name, kept: to hash a text anew for each statement costs a twentieth of what the statement does here. */
interface Named {
  readonly generation: number;
  readonly name: string;
}

/** The names of one layer's statements. */
export class PreparedTexts {
  readonly #named = new Map<string, Named>();
  #isGivenUp: boolean;

  /** @param mayName false where names would not be kept, as behind an old PgBouncer. */
  constructor(mayName: boolean) {
    this.#isGivenUp = !mayName;
  }

  /** Runs a statement under the name of its text, or under none. */
  async run<T>(text: string, statement: (name: string | undefined) => Promise<T>): Promise<T> {
    const name = this.#nameOf(text);
    if (name === undefined) return statement(undefined);
    try {
      return await statement(name);
    } catch (error) {
      if (!this.#isRefused(text, error)) throw error;
      return statement(this.#nameOf(text));
    }
  }

  #nameOf(text: string): string | undefined {
    if (this.#isGivenUp) return undefined;
    const known = this.#named.get(text);
    if (known !== undefined) return known.name;
    if (this.#named.size >= MAX_TEXTS) return undefined;
    return this.#rename(text, 0);
  }

  #rename(text: string, generation: number): string {
    const name = `shardline_${hashOf(text)}_${generation}`;
    this.#named.set(text, { generation, name });
    return name;
  }

  #isRefused(text: string, error: unknown): boolean {
    const { code, routine } = error as Refusal;
    if (routine === OTHER_ROWS_ROUTINE) {
      this.#rename(text, (this.#named.get(text)?.generation ?? 0) + 1);
      return true;
    }
    if (code !== NO_SUCH_STATEMENT) return false;
    this.#isGivenUp = true;
    return true;
  }
}
