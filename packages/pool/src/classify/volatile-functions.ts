import {
  HARMLESS_VOLATILE,
  PRIMARY_ONLY_STABLE,
  SESSION_FUNCTIONS,
  WELL_KNOWN_PURE,
  WELL_KNOWN_VOLATILE,
} from './built-in-functions.js';

/**
 * What calling a function, or reading a relation, does: from the catalog of the connected database,
 * with the short lists of `built-in-functions.ts` above it and in its place until it has been read.
 *
 * Names are looked up without resolving overloads or the search path. A name is as impure as the worst
 * function that carries it in any schema where it could be found, so that whatever the server resolves it to,
 * a pure answer is right. A name that nobody knows is not pure.
 *
 * Not seen here: implicit casts, domain checks, row-level policies and functions that are declared
 * stable and are not. A standby refuses writes from those; only locks and the like slip through.
 */

/** What a call of a function means for routing. */
export type FunctionNature = 'pure' | 'volatile' | 'session' | 'unknown';

/** What the database says, sorted by what it is about. Names stand bare and as `schema.name`. */
export interface CatalogContents {
  /** Functions, and whether any that carries the name is volatile. */
  readonly functions: ReadonlyMap<string, boolean>;
  /** Volatile functions that column notation can call. */
  readonly attributes: ReadonlySet<string>;
  readonly operators: ReadonlySet<string>;
  /** Types with a volatile cast to them. */
  readonly casts: ReadonlySet<string>;
  /** Relations that must not be read on a standby, and why. */
  readonly relations: ReadonlyMap<string, string>;
}

const NOTHING: CatalogContents = {
  functions: new Map(),
  attributes: new Set(),
  operators: new Set(),
  casts: new Set(),
  relations: new Map(),
};

/** Unknown names ask for a new reading, but a text that can never be known must not ask for ever. */
const SHORTEST_REFRESH_MS = 5_000;
const MOST_UNKNOWN_NAMES = 1_000;

/** What is known of the functions and relations of one database. */
export class FunctionCatalog {
  readonly #assumedPure: ReadonlySet<string>;
  #contents = NOTHING;
  #unknownNames = new Set<string>();
  #answeredNames = new Set<string>();
  #loadedAtMs: number | undefined;
  #version = 0;

  /**
   * @param assumedPure names of volatile functions that the owner of the database vouches for, such as
   *   `uuid_generate_v4`. @default []
   */
  constructor(assumedPure: readonly string[] = []) {
    this.#assumedPure = new Set(assumedPure);
  }

  /** Grows whenever an answer may have changed. */
  get version(): number {
    return this.#version;
  }

  get isLoaded(): boolean {
    return this.#loadedAtMs !== undefined;
  }

  /** Whether the catalog should be read (again): never read, or a name turned up that nobody knew. */
  wantsRefresh(nowMs: number): boolean {
    if (this.#loadedAtMs === undefined) return true;
    return this.#unknownNames.size > 0 && nowMs - this.#loadedAtMs >= SHORTEST_REFRESH_MS;
  }

  /** What calling the function means. Remembers names that nobody knew. */
  natureOf(schema: string | undefined, name: string): FunctionNature {
    if (this.#assumedPure.has(name)) return 'pure';
    const mayBeBuiltIn = schema === undefined || schema === 'pg_catalog';
    if (mayBeBuiltIn) {
      if (SESSION_FUNCTIONS.has(name)) return 'session';
      if (PRIMARY_ONLY_STABLE.has(name) || WELL_KNOWN_VOLATILE.has(name)) return 'volatile';
    }
    const isVolatile = this.#contents.functions.get(
      schema === undefined ? name : `${schema}.${name}`,
    );
    if (isVolatile !== undefined) return isVolatile ? 'volatile' : 'pure';
    if (mayBeBuiltIn && !this.isLoaded) {
      if (WELL_KNOWN_PURE.has(name) || HARMLESS_VOLATILE.has(name)) return 'pure';
    }
    this.#noteUnknown(schema === undefined ? name : `${schema}.${name}`);
    return 'unknown';
  }

  /** Whether `row.name` may call a volatile function of that name. */
  isVolatileAttribute(name: string): boolean {
    return this.#contents.attributes.has(name) && !this.#assumedPure.has(name);
  }

  isVolatileOperator(name: string): boolean {
    return this.#contents.operators.has(name);
  }

  isVolatileCast(typeName: string): boolean {
    return this.#contents.casts.has(typeName);
  }

  /** Why a relation may not be read on a standby, if so. */
  relationRefusal(schema: string | undefined, name: string): string | undefined {
    return this.#contents.relations.get(schema === undefined ? name : `${schema}.${name}`);
  }

  /** Takes what the database said, in place of all that was known before. */
  replace(contents: CatalogContents, nowMs: number): void {
    this.#contents = contents;
    this.#loadedAtMs = nowMs;
    // Names that the database does not know either must not ask for it again and again.
    this.#answeredNames = this.#unknownNames;
    this.#unknownNames = new Set();
    this.#version += 1;
  }

  #noteUnknown(name: string): void {
    if (this.#answeredNames.has(name) || this.#unknownNames.size >= MOST_UNKNOWN_NAMES) return;
    this.#unknownNames.add(name);
  }
}
