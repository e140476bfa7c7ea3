import type { Cache, InvalidationRecord } from '@shardline/cache';
import { isShardlineError } from '@shardline/core';
import type { Columns } from '../entity/statements.js';

/**
 * What a write of an entity's row makes stale beside the row itself, by the templates of `invalidates`. The
 * cache's own rules do the filling in: each entity is an event to them, with the row as its payload.
 */
const PLACEHOLDER = /\{([^{}]*)\}/g;

/** The name of the event that a write of an entity is to the cache's rules. No event of a user can have it. */
export function eventOf(entity: string): string {
  return `~entity:${entity}`;
}

/** Rules of one entity. */
export class RowRules {
  readonly #event: string;
  readonly #templates: readonly string[];
  readonly #columns: readonly string[];
  readonly #recordsOf: Cache['recordsOf'];

  constructor(entity: string, templates: readonly string[], recordsOf: Cache['recordsOf']) {
    this.#event = eventOf(entity);
    this.#templates = templates;
    this.#columns = templates.flatMap((template) =>
      [...template.matchAll(PLACEHOLDER)].map(([, path = '']) => path.split('.')[0] as string),
    );
    this.#recordsOf = recordsOf;
  }

  get isEmpty(): boolean {
    return this.#templates.length === 0;
  }

  /** Whether some columns are all that the templates ask for. */
  knowsEnough(columns: Columns): boolean {
    return this.#columns.every((column) => columns[column] !== undefined);
  }

  /** What becomes stale. A value that cannot stand in a template makes its whole namespace stale. */
  recordsOf(row: Columns): InvalidationRecord[] {
    if (this.isEmpty) return [];
    const payload = Object.fromEntries(
      Object.entries(row).map(([column, value]) => [column, textual(value)]),
    );
    try {
      return this.#recordsOf(this.#event, payload);
    } catch (error) {
      if (!isShardlineError(error, 'CACHE_EVENT_PAYLOAD')) throw error;
      const namespaces = new Set(this.#templates.map((template) => template.split(/[:#]/, 1)[0]));
      return [...namespaces].map((namespace) => ({
        namespace: namespace as string,
        patterns: ['*'],
      }));
    }
  }
}

function textual(value: unknown): unknown {
  if (typeof value === 'boolean') return String(value);
  return value instanceof Date ? value.toISOString() : value;
}
