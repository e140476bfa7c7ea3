import type { ReplicaPool } from '@shardline/pool';
import type { HistoryRecorder, RecordedCaller } from '@shardline/testkit/check';

/**
 * Callers that write and read a few rows in sessions, hop between pools by token, and record what
 * they saw. A row's version grows by one with each write, so that every read tells how old it is.
 */
export interface WorkloadOptions {
  /** Each with a monitor, connections and knowledge of its own: what separate processes have. */
  readonly pools: readonly ReplicaPool[];
  readonly recorder: HistoryRecorder;
  readonly random: () => number;
  readonly keys: number;
  readonly callers: number;
  /** Longest that one statement may take, whatever happens. */
  readonly deadlineMs: number;
}

type PoolSession = ReturnType<ReplicaPool['session']>;

/** What was seen, for judging whether the run was worth anything. */
export interface WorkloadCounts {
  writes: number;
  reads: number;
  hops: number;
  failures: number;
  /** Reads by the port of the server that answered. */
  readonly readsByPort: Map<number, number>;
  /** Codes of errors, with how often each came. */
  readonly errors: Map<string, number>;
}

/** A workload that runs until it is stopped. */
export interface Workload {
  readonly counts: WorkloadCounts;
  /** Resolves when so many more operations have succeeded. */
  afterMore(operations: number): Promise<void>;
  stop(): Promise<void>;
}

const KEEP_SESSION = 0.6;
/** New clients come all the time: they may read from replicas that older sessions are beyond. */
const NEW_SESSION = 0.15;
const WRITE = 0.25;
/** Every other caller only reads: while commits hang, writers hang with them, and somebody has to look. */
const READERS_EVERY = 2;
/** Reads that insist on the primary, so that sessions come to it from replicas. */
const PRIMARY_READ = 0.2;
/** Callers think for a moment now and then, so that captures settle in some sessions and not in others. */
const THINK = 0.3;

export const workloadSchema =
  'CREATE TABLE reading (key text PRIMARY KEY, version int NOT NULL, value text)';

/** Starts callers. Rows `k0`, `k1`, ... are expected to exist with version 1. */
export function startWorkload(options: WorkloadOptions): Workload {
  const counts: WorkloadCounts = {
    writes: 0,
    reads: 0,
    hops: 0,
    failures: 0,
    readsByPort: new Map(),
    errors: new Map(),
  };
  let isStopped = false;
  const running = Array.from({ length: options.callers }, async (_, index) => {
    const caller = new SessionCaller(options, counts, index % READERS_EVERY === 0);
    while (!isStopped) await caller.step();
  });
  return {
    counts,
    async afterMore(operations) {
      const target = counts.writes + counts.reads + operations;
      let done = counts.writes + counts.reads;
      let movedAtMs = performance.now();
      while (counts.writes + counts.reads < target) {
        if (counts.writes + counts.reads > done) movedAtMs = performance.now();
        done = counts.writes + counts.reads;
        if (performance.now() - movedAtMs > 60_000) throw new Error('The workload stands still.');
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    async stop() {
      isStopped = true;
      await Promise.all(running);
    },
  };
}

class SessionCaller {
  readonly #options: WorkloadOptions;
  readonly #counts: WorkloadCounts;
  readonly #caller: RecordedCaller;
  #pool: ReplicaPool;
  #session: PoolSession;
  /** Names the state of the session in the history: finer than its token, which may repeat. */
  #state: string | undefined;
  static #states = 0;

  readonly #isReader: boolean;

  constructor(options: WorkloadOptions, counts: WorkloadCounts, isReader: boolean) {
    this.#isReader = isReader;
    this.#options = options;
    this.#counts = counts;
    this.#caller = options.recorder.caller();
    this.#pool = this.#pick(options.pools);
    this.#session = this.#pool.session();
  }

  async step(): Promise<void> {
    const { random } = this.#options;
    if (random() < THINK) await new Promise((resolve) => setTimeout(resolve, random() * 15));
    if (random() < NEW_SESSION) this.#begin();
    else if (random() > KEEP_SESSION) await this.#hop();
    await (!this.#isReader && random() < WRITE ? this.#write() : this.#read());
  }

  /** Takes the token to another pool, as a client's next request does to another process. */
  async #hop(): Promise<void> {
    try {
      const token = await this.#session.token();
      this.#pool = this.#pick(this.#options.pools);
      this.#session = this.#pool.session(token);
      this.#counts.hops += 1;
    } catch (error) {
      this.#failed(error);
    }
  }

  async #write(): Promise<void> {
    const value = this.#options.recorder.uniqueValue();
    const text =
      'UPDATE reading SET version = version + 1, value = $2 WHERE key = $1 RETURNING version';
    const key = this.#key();
    const done = await this.#record('update', { key, value }, async () => {
      const { rows } = await this.#session.run(() => this.#pool.query(text, [key, value]));
      return { version: Number(rows[0].version) };
    });
    if (done) this.#counts.writes += 1;
  }

  async #read(): Promise<void> {
    const text = 'SELECT version, inet_server_port() AS port FROM reading WHERE key = $1';
    const key = this.#key();
    const done = await this.#record('session-read', { key }, async () => {
      const insists = this.#options.random() < PRIMARY_READ;
      const query = { text, values: [key], ...(insists ? { target: 'primary' as const } : {}) };
      const { rows } = await this.#session.run(() => this.#pool.query(query));
      const { port, version } = rows[0];
      this.#counts.readsByPort.set(port, (this.#counts.readsByPort.get(port) ?? 0) + 1);
      return { version: Number(version), node: String(port) };
    });
    if (done) this.#counts.reads += 1;
  }

  async #record(
    kind: 'update' | 'session-read',
    fields: { key: string; value?: string },
    work: () => Promise<{ version: number; node?: string }>,
  ): Promise<boolean> {
    SessionCaller.#states += 1;
    const tokenOut = `state-${SessionCaller.#states}`;
    const deadlineNs = process.hrtime.bigint() + BigInt(this.#options.deadlineMs) * 1_000_000n;
    const begun = { kind, ...fields, deadlineNs };
    const tokenIn = this.#state === undefined ? {} : { tokenIn: this.#state };
    const result = await this.#caller.run({ ...begun, ...tokenIn }, async () => ({
      ...(await work()),
      tokenOut,
    }));
    if (result.outcome === 'ok') {
      this.#state = tokenOut;
      return true;
    }
    this.#failed(result.error);
    return false;
  }

  /** After an error nobody claims anything: a new session begins. */
  #failed(error: unknown): void {
    this.#counts.failures += 1;
    const code = String((error as { code?: unknown }).code ?? (error as Error).message);
    this.#counts.errors.set(code, (this.#counts.errors.get(code) ?? 0) + 1);
    this.#begin();
  }

  #begin(): void {
    this.#pool = this.#pick(this.#options.pools);
    this.#session = this.#pool.session();
    this.#state = undefined;
  }

  #key(): string {
    return `k${Math.floor(this.#options.random() * this.#options.keys)}`;
  }

  #pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.#options.random() * items.length)] as T;
  }
}
