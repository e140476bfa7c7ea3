/**
 * What each shard is sent for a scatter, by the topology in force.
 */

import { LRUCache } from 'lru-cache';
import type { KeyspaceRouter } from '../keyspace-router.js';
import type { RouterCore } from '../router-core.js';
import { loadParser, type Node } from '../sql/tree.js';
import { analyseColocation, type ColocationScope } from './colocation.js';
import { declaredTables } from './declared-tables.js';
import type { FilledScatterOptions } from './options.js';
import { excludeSlots, parseScatter, type RewriteScope } from './rewrite.js';
import { pushDown, type ScatterTarget } from './scatter.js';
import type { ScatterClient } from './shard-cursor.js';
import userFunctionsSql from './user-functions.sql';

const CACHED_STATEMENTS = 500;
/** How long the names of a database's functions are taken as known. */
const FUNCTIONS_TTL_MS = 30_000;

/** Plans scatters of one keyspace. */
export class ScatterPlanner {
  readonly #core: RouterCore;
  readonly #keyspace: KeyspaceRouter;
  readonly #declared: ColocationScope;
  readonly #parsed = new LRUCache<string, { stmt: ReturnType<typeof parseScatter> }>({
    max: CACHED_STATEMENTS,
  });
  #functions: { readonly names: ReadonlySet<string>; readonly readAtMs: number } | undefined;

  constructor(core: RouterCore, keyspace: KeyspaceRouter) {
    this.#core = core;
    this.#keyspace = keyspace;
    this.#declared = declaredTables(core.options, keyspace.name);
  }

  async plan(text: string, options: FilledScatterOptions): Promise<ScatterTarget[]> {
    await loadParser();
    const stmt = this.#parse(text, options.perShard);
    const { topology } = this.#keyspace;
    const names = topology.owningShards();
    const hasRecords = this.#core.watcher !== undefined;
    const scope = topology.isMoving ? await this.#scope(names[0] as string) : undefined;
    const plain = pushDown(withoutSemicolon(text), options);
    return names.map((name) => {
      const shard = this.#core.shard(name);
      const foreign = scope === undefined ? [] : topology.foreignSlots(name);
      return {
        shard: name,
        connect: async () => {
          await shard.ensureChecked();
          return (await shard.pool.connect()) as unknown as ScatterClient;
        },
        sql:
          scope === undefined || foreign.length === 0
            ? plain
            : pushDown(excludeSlots(stmt, scope, foreign), options),
        epoch: hasRecords ? topology.shardEpoch(name) : undefined,
      };
    });
  }

  #parse(text: string, perShard: boolean): ReturnType<typeof parseScatter> {
    const key = `${perShard} ${text}`;
    const known = this.#parsed.get(key);
    if (known !== undefined) return known.stmt;
    const stmt = parseScatter(text, perShard);
    if (!perShard) analyseColocation(stmt['SelectStmt'] as Node, this.#declared);
    this.#parsed.set(key, { stmt });
    return stmt;
  }

  async #scope(shard: string): Promise<RewriteScope> {
    return {
      keyspace: this.#keyspace.keyspace,
      tables: this.#keyspace.tables,
      referenceTables: this.#core.options.referenceTables,
      userFunctions: await this.#userFunctions(shard),
    };
  }

  async #userFunctions(shard: string): Promise<ReadonlySet<string>> {
    const nowMs = this.#core.clock.monotonicMs();
    if (this.#functions === undefined || nowMs - this.#functions.readAtMs > FUNCTIONS_TTL_MS) {
      const { rows } = await this.#core.shard(shard).primary.query(userFunctionsSql);
      this.#functions = {
        names: new Set(rows.map(({ name }: { name: string }) => name)),
        readAtMs: nowMs,
      };
    }
    return this.#functions.names;
  }
}

/** The text without what ends it; a comment at its end is ended by the line break that follows. */
function withoutSemicolon(text: string): string {
  return text.replace(/[\s;]+$/, '');
}
