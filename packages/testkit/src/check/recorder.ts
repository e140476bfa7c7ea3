/**
 * The witness of one operating-system process.
 *
 * A record is in the kernel before the first byte of its operation leaves (`writeSync`, about a
 * microsecond), so a SIGKILL at any moment cannot make a write that was sent look as if it never
 * was. There is no buffer and no fsync: the process may die, the machine may not.
 *
 * A *caller* is a logical process: one operation at a time. After an unknown outcome it goes on
 * under a new name, because its last operation may still be running somewhere.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { MalformedHistoryError } from './malformed-history-error.js';
import type { OperationFields, OperationKind } from './operation.js';
import { type ClassifiedError, classifyError, type ErrorContext } from './outcome.js';
import { type EventRecord, encodeRecord, type HistoryRecord } from './record.js';

/** How a recorder is opened. */
export interface RecorderOptions {
  /** The file, one per process; it must not exist. */
  readonly path: string;
  /** Names the process: unique in the run, since operations and values are named after it. */
  readonly process: string;
  /**
   * Decides what an error means.
   * @default classifyError without a context
   */
  readonly classify?: (error: unknown) => ClassifiedError;
  /**
   * The clock of the stamps.
   * @default process.hrtime.bigint
   */
  readonly nowNs?: () => bigint;
}

/** What is known when an operation begins. */
export interface BegunFields extends OperationFields {
  readonly kind: OperationKind;
}

/** What an event says beside its name. */
export type EventFields = Omit<EventRecord, 'type' | 'name' | 'atNs'> & {
  /** @default now */
  readonly atNs?: bigint;
};

/** How {@link RecordedCaller.run} ended. */
export type RunResult<Fields> =
  | { readonly outcome: 'ok'; readonly fields: Fields }
  | { readonly outcome: 'fail' | 'info'; readonly error: unknown };

/**
 * Writes the history of one process to its own append-only file.
 *
 * @example
 * ```ts
 * import { openRecorder } from '@shardline/testkit/check';
 *
 * declare function update(key: string, value: string): Promise<{ version: number }>;
 *
 * using recorder = openRecorder({ path: 'run/writer-1.jsonl', process: 'writer-1' });
 * const caller = recorder.caller();
 * const value = recorder.uniqueValue();
 * await caller.run({ kind: 'update', key: 'user-7', value }, async () => {
 *   const { version } = await update('user-7', value);
 *   return { version };
 * });
 * ```
 */
export function openRecorder(options: RecorderOptions): HistoryRecorder {
  return new HistoryRecorder(options);
}

/** See {@link openRecorder}. */
export class HistoryRecorder implements Disposable {
  readonly process: string;
  readonly #classify: (error: unknown, context?: ErrorContext) => ClassifiedError;
  readonly #nowNs: () => bigint;
  #file: number | undefined;
  #operations = 0;
  #values = 0;
  #callers = 0;

  constructor(options: RecorderOptions) {
    if (options.process === '') {
      throw new MalformedHistoryError('a recorder needs the name of its process');
    }
    this.process = options.process;
    this.#classify = options.classify ?? classifyError;
    this.#nowNs = options.nowNs ?? process.hrtime.bigint;
    this.#file = openSync(options.path, 'ax');
  }

  /** A new logical process: it does one thing at a time. */
  caller(): RecordedCaller {
    this.#callers += 1;
    const name = `${this.process}/${this.#callers}`;
    return new RecordedCaller(name, {
      write: (record) => this.#write(record),
      nowNs: this.#nowNs,
      classify: this.#classify,
      nextOperation: () => {
        this.#operations += 1;
        return `${this.process}.${this.#operations}`;
      },
    });
  }

  /** A value that no one else in the run writes: `process.counter`. */
  uniqueValue(): string {
    this.#values += 1;
    return `${this.process}.${this.#values}`;
  }

  /** Notes what happened beside the operations, now or at a stamp taken earlier. */
  event(name: string, fields: EventFields = {}): void {
    this.#write({ type: 'event', name, atNs: this.#nowNs(), ...fields });
  }

  /** Closes the file. Operations still open stay without an end, that is unknown. */
  close(): void {
    if (this.#file === undefined) return;
    closeSync(this.#file);
    this.#file = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #write(record: HistoryRecord): void {
    if (this.#file === undefined) {
      throw new MalformedHistoryError(`the recorder of ${this.process} is closed`);
    }
    const bytes = Buffer.from(encodeRecord(record));
    // A full disk or a signal may cut a write short; the rest must be down before anything is sent.
    for (let written = 0; written < bytes.length; ) {
      written += writeSync(this.#file, bytes, written);
    }
  }
}

interface CallerDoor {
  readonly write: (record: HistoryRecord) => void;
  readonly nowNs: () => bigint;
  readonly classify: (error: unknown) => ClassifiedError;
  readonly nextOperation: () => string;
}

/** One logical process. Made by {@link HistoryRecorder.caller}. */
export class RecordedCaller {
  readonly #name: string;
  readonly #door: CallerDoor;
  #lives = 1;
  #pending: PendingOperation | undefined;

  constructor(name: string, door: CallerDoor) {
    this.#name = name;
    this.#door = door;
  }

  /** The name that the next operation is recorded under. */
  get process(): string {
    return this.#lives === 1 ? this.#name : `${this.#name}~${this.#lives}`;
  }

  /** Records that an operation begins. Call it before anything is sent, and end what it returns. */
  begin(fields: BegunFields): PendingOperation {
    if (this.#pending) {
      throw new MalformedHistoryError(
        `${this.process} began an operation while ${this.#pending.op} was open; use a caller each`,
      );
    }
    const op = this.#door.nextOperation();
    const { kind, ...rest } = fields;
    this.#door.write({
      type: 'invoke',
      op,
      process: this.process,
      kind,
      atNs: this.#door.nowNs(),
      ...rest,
    });
    this.#pending = new PendingOperation(op, this.#door, (outcome) => {
      this.#pending = undefined;
      if (outcome === 'info') this.#lives += 1;
    });
    return this.#pending;
  }

  /**
   * Records an operation around `act`, whose result is what became known. An error is classified
   * and recorded, and comes back as a value: a worker goes on whatever happens.
   */
  async run<Fields extends OperationFields>(
    fields: BegunFields,
    act: (op: string) => Promise<Fields>,
  ): Promise<RunResult<Fields>> {
    const pending = this.begin(fields);
    let known: Fields;
    try {
      known = await act(pending.op);
    } catch (error) {
      return { outcome: pending.threw(error).outcome, error };
    }
    pending.ok(known);
    return { outcome: 'ok', fields: known };
  }
}

/** An operation that has begun; exactly one of its methods ends it. */
export class PendingOperation {
  /** The id of the operation, for a ledger row. */
  readonly op: string;
  readonly #door: CallerDoor;
  readonly #ended: (outcome: 'ok' | 'fail' | 'info') => void;
  #open = true;

  constructor(op: string, door: CallerDoor, ended: (outcome: 'ok' | 'fail' | 'info') => void) {
    this.op = op;
    this.#door = door;
    this.#ended = ended;
  }

  /** It happened. */
  ok(fields: OperationFields = {}): void {
    this.#end('ok', fields);
  }

  /** It certainly did not happen, and never will. */
  fail(fields: OperationFields = {}): void {
    this.#end('fail', fields);
  }

  /** Nobody knows. */
  info(fields: OperationFields = {}): void {
    this.#end('info', fields);
  }

  /** It threw: classified, recorded, and told back. */
  threw(error: unknown): ClassifiedError {
    const classified = this.#door.classify(error);
    this.#end(classified.outcome, { sqlstate: classified.sqlstate, error: classified.error });
    return classified;
  }

  #end(outcome: 'ok' | 'fail' | 'info', fields: OperationFields): void {
    if (!this.#open) throw new MalformedHistoryError(`operation ${this.op} was ended before`);
    const atNs = this.#door.nowNs();
    this.#door.write({ type: 'return', op: this.op, outcome, atNs, ...fields });
    this.#open = false;
    this.#ended(outcome);
  }
}
