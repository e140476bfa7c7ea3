import { LRUCache } from 'lru-cache';
import { classifyText } from './classify-text.js';
import { isGrammarLoaded } from './grammar.js';
import type { StatementClass } from './statement-class.js';
import { FunctionCatalog } from './volatile-functions.js';

/**
 * Says of each text whether it is a read, a write or something that belongs to its connection, by
 * PostgreSQL's own grammar. What is not provably a pure read is not a read.
 *
 * Answers are remembered by text, since parsing costs some 20 to 70 us and a service sends few
 * different texts. They are forgotten when the catalog changes. What a standby refused is remembered
 * apart and for good: the server's own word counts for more than the proof.
 */
export interface ClassifierOptions {
  /** How many texts to remember. @default 2000 */
  readonly cacheSize?: number;
  /** What is known of functions and relations; load it with `loadCatalog`. */
  readonly volatileFunctions?: FunctionCatalog;
}

/** Classifies statement texts. */
export interface Classifier {
  /** Never throws, and never waits: a text that cannot be read is `unknown`. */
  classify(text: string): StatementClass;
  /** A standby refused this text as a write: from now on it is one. */
  noteRefused(text: string): void;
  /** The catalog in use. */
  readonly catalog: FunctionCatalog;
}

const DEFAULT_CACHE_SIZE = 2000;
/** Longer texts are rarely sent twice, and would fill the memory that a count is meant to bound. */
const LONGEST_REMEMBERED = 16_384;

const NOT_LOADED: StatementClass = Object.freeze({
  kind: 'unknown',
  reason: 'the grammar is not loaded yet',
  statements: 1,
});

/** Makes a classifier. Until `loadGrammar()` has resolved, everything is `unknown`. */
export function createClassifier(options: ClassifierOptions = {}): Classifier {
  const { cacheSize = DEFAULT_CACHE_SIZE, volatileFunctions: catalog = new FunctionCatalog() } =
    options;
  const remembered = new LRUCache<string, StatementClass>({ max: cacheSize });
  const refused = new LRUCache<string, StatementClass>({ max: cacheSize });
  let version = catalog.version;

  const classifyNew = (text: string): StatementClass => {
    if (!isGrammarLoaded()) return NOT_LOADED;
    const found = refused.get(text) ?? classifyText(text, catalog);
    if (text.length <= LONGEST_REMEMBERED) remembered.set(text, found);
    return found;
  };

  return {
    catalog,
    classify(text) {
      if (catalog.version !== version) {
        version = catalog.version;
        remembered.clear();
      }
      return remembered.get(text) ?? classifyNew(text);
    },
    noteRefused(text) {
      const { statements } = this.classify(text);
      const reason = 'a standby has refused it as a write';
      const answer: StatementClass = Object.freeze({ kind: 'write', reason, statements });
      refused.set(text, answer);
      remembered.set(text, answer);
    },
  };
}
