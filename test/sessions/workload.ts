import type { ReplicaPool } from '@shardline/pool';
import type { HistoryRecorder, RecordedCaller } from '@shardline/testkit/check';

/**
 * Callers that write and read a few rows in sessions, hop between processes by token, and record what
 * they saw. A row's version grows by one with each write, so that every read tells how old it is.
 */
export interface WorkloadOptions {
  readonly pool: ReplicaPool;
  /** Where sessions go to and come from. */
  readonly exchange: Exchange;
  readonly recorder: HistoryRecorder;
  readonly random: () => number;
  readonly keys: number;
  readonly callers: number;
  /** Longest that one statement may take, whatever happens. */
  readonly deadlineMs: number;
}

/** A session on its way from one process to another. */
export interface Parcel {
  readonly token: string;
  /** Names the state of the session in the history: finer than its token, which may repeat. */
  readonly state: string | undefined;
}

/** Takes sessions to other processes, and brings theirs. */
export interface Exchange {
  give(parcel: Parcel): void;
  take(): Parcel | undefined;
}

type PoolSession = ReturnType<ReplicaPool['session']>;

/** What was seen, for judging whether the run was worth anything. */
export interface WorkloadCounts {
  writes: number;
  reads: number;
  hops: number;
  failures: number;
  /** Reads by the port of the server that answered. */
  readonly readsByPort: Record<number, number>;
  /** Codes of errors, with how often each came. */
  readonly errors: Record<string, number>;
}

/** A workload that runs until it is stopped. */
export interface Workload {
  readonly counts: WorkloadCounts;
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
  const counts = noCounts();
  let isStopped = false;
  const running = Array.from({ length: options.callers }, async (_, index) => {
    const caller = new SessionCaller(options, counts, index % READERS_EVERY === 0);
    while (!isStopped) await caller.step();
  });
  return {
    counts,
    async stop() {
      isStopped = true;
      await Promise.all(running);
    },
  };
}

export function noCounts(): WorkloadCounts {
  return { writes: 0, reads: 0, hops: 0, failures: 0, readsByPort: {}, errors: {} };
}

class SessionCaller {
  readonly #options: WorkloadOptions;
  readonly #counts: WorkloadCounts;
  readonly #caller: RecordedCaller;
  readonly #pool: ReplicaPool;
  #session: PoolSession;
  #state: string | undefined;
  static #states = 0;

  readonly #isReader: boolean;

  constructor(options: WorkloadOptions, counts: WorkloadCounts, isReader: boolean) {
    this.#isReader = isReader;
    this.#options = options;
    this.#counts = counts;
    this.#caller = options.recorder.caller();
    this.#pool = options.pool;
    this.#session = this.#pool.session();
  }

  async step(): Promise<void> {
    const { random } = this.#options;
    if (random() < THINK) await new Promise((resolve) => setTimeout(resolve, random() * 15));
    if (random() < NEW_SESSION) this.#begin();
    else if (random() > KEEP_SESSION) await this.#hop();
    await (!this.#isReader && random() < WRITE ? this.#write() : this.#read());
  }

  /** Sends the session to another process, as a client's next request does, and goes on with one from there. */
  async #hop(): Promise<void> {
    const { exchange } = this.#options;
    try {
      exchange.give({ token: await this.#session.token(), state: this.#state });
      const parcel = exchange.take();
      if (parcel === undefined) return this.#begin();
      this.#session = this.#pool.session(parcel.token);
      this.#state = parcel.state;
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
      const { readsByPort } = this.#counts;
      readsByPort[port] = (readsByPort[port] ?? 0) + 1;
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
    const tokenOut = `${this.#options.recorder.process}.state-${SessionCaller.#states}`;
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
    const { errors } = this.#counts;
    errors[code] = (errors[code] ?? 0) + 1;
    this.#begin();
  }

  #begin(): void {
    this.#session = this.#pool.session();
    this.#state = undefined;
  }

  #key(): string {
    return `k${Math.floor(this.#options.random() * this.#options.keys)}`;
  }
}
