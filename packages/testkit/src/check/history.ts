/**
 * Reading what the recorders wrote, and pairing it into operations.
 *
 * A process may be killed at any moment, so the *last* line of a file may be cut short: it is then
 * taken as not written. That is sound both ways. A torn invocation never left the process, because
 * bytes are sent only after the whole line is down; a torn return makes its operation `info`, which
 * asks less of the system. A cut anywhere else means that the file was damaged, and a damaged
 * witness is refused.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { MalformedHistoryError } from './malformed-history-error.js';
import type { History, HistoryEvent, Operation } from './operation.js';
import { decodeRecord, type EventRecord, type InvokeRecord, type ReturnRecord } from './record.js';
import { compareNs } from './sorted.js';

/** The text of one recorder's file. */
export interface HistorySource {
  /** A name for messages; the recorder is named by it. */
  readonly source: string;
  readonly text: string | Uint8Array;
}

/**
 * Reads and merges the files of all recorders of a run.
 *
 * @throws {MalformedHistoryError} when a file is damaged, or two files tell of one operation.
 *
 * @example
 * ```ts
 * import { checkRegister, readHistory } from '@shardline/testkit/check';
 *
 * const history = readHistory(['run/writer-1.jsonl', 'run/reader-1.jsonl']);
 * const verdict = checkRegister(history);
 * if (!verdict.valid) throw new Error(verdict.violations.map((each) => each.message).join('\n'));
 * ```
 */
export function readHistory(paths: readonly string[]): History {
  return parseHistory(paths.map((path) => ({ source: basename(path), text: readFileSync(path) })));
}

/**
 * The same as {@link readHistory}, from texts already in memory.
 *
 * @throws {MalformedHistoryError} when a text is damaged, or two texts tell of one operation.
 */
export function parseHistory(sources: readonly HistorySource[]): History {
  const reader = new HistoryReader();
  const names = new Set<string>();
  for (const { source, text } of sources) {
    if (names.has(source)) throw new MalformedHistoryError('given twice', { source });
    names.add(source);
    reader.read(source, typeof text === 'string' ? Buffer.from(text) : text);
  }
  return reader.history();
}

/**
 * The part of a history whose operations pass the filter, with all events: for a checker that must
 * look at some namespace, key or policy only.
 */
export function selectOperations(
  history: History,
  isWanted: (operation: Operation) => boolean,
): History {
  return { ...history, operations: history.operations.filter(isWanted) };
}

const NEWLINE = 0x0a;

class HistoryReader {
  readonly #operations = new Map<string, Operation>();
  readonly #events: HistoryEvent[] = [];
  readonly #lastSeenNs = new Map<string, bigint>();
  readonly #tornSources: string[] = [];
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });

  read(source: string, bytes: Uint8Array): void {
    const returned = new Set<string>();
    let start = 0;
    for (let line = 1; start < bytes.length; line += 1) {
      const end = bytes.indexOf(NEWLINE, start);
      if (end === -1) {
        this.#tornSources.push(source);
        return;
      }
      this.#take(this.#decode(bytes.subarray(start, end), { source, line }), returned, {
        source,
        line,
      });
      start = end + 1;
    }
  }

  history(): History {
    return {
      operations: [...this.#operations.values()].sort((a, b) =>
        compareNs(a.invokedNs, b.invokedNs),
      ),
      events: this.#events.sort((a, b) => compareNs(a.atNs, b.atNs)),
      lastSeenNs: this.#lastSeenNs,
      tornSources: this.#tornSources,
    };
  }

  #decode(bytes: Uint8Array, where: { source: string; line: number }) {
    let text: string;
    try {
      text = this.#decoder.decode(bytes);
    } catch {
      throw new MalformedHistoryError('not UTF-8', where);
    }
    return decodeRecord(text, where);
  }

  #take(
    record: InvokeRecord | ReturnRecord | EventRecord,
    returned: Set<string>,
    where: { source: string; line: number },
  ): void {
    const last = this.#lastSeenNs.get(where.source);
    if (last === undefined || record.atNs > last) this.#lastSeenNs.set(where.source, record.atNs);
    if (record.type === 'invoke') this.#begin(record, where);
    else if (record.type === 'return') this.#end(record, returned, where);
    else {
      const { type: _type, ...event } = record;
      this.#events.push({ recorder: where.source, ...event });
    }
  }

  #begin(record: InvokeRecord, where: { source: string; line: number }): void {
    const known = this.#operations.get(record.op);
    if (known) {
      throw new MalformedHistoryError(
        `operation ${record.op} was begun before, in ${known.recorder}`,
        where,
      );
    }
    const { type: _type, atNs, ...fields } = record;
    this.#operations.set(record.op, {
      ...fields,
      recorder: where.source,
      invokedNs: atNs,
      returnedNs: null,
      outcome: 'info',
    });
  }

  #end(record: ReturnRecord, returned: Set<string>, where: { source: string; line: number }): void {
    const begun = this.#operations.get(record.op);
    if (begun?.recorder !== where.source) {
      throw new MalformedHistoryError(`operation ${record.op} ended but was not begun here`, where);
    }
    if (returned.has(record.op)) {
      throw new MalformedHistoryError(`operation ${record.op} ended before`, where);
    }
    if (record.atNs < begun.invokedNs) {
      throw new MalformedHistoryError(`operation ${record.op} ended before it was begun`, where);
    }
    returned.add(record.op);
    const { type: _type, atNs, op: _op, outcome, ...fields } = record;
    this.#operations.set(record.op, { ...begun, ...fields, returnedNs: atNs, outcome });
  }
}
