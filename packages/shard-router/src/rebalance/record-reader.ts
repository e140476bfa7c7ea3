/**
 * What the shards say of a move, as a mover that is at work needs it: the records, whether the reverse stream stands, which
 * routers are still to acknowledge.
 *
 * What is remembered between two rounds only saves questions: nobody else can change a record while the sessions hold the
 * move's lock, and between hold and release every question is time that callers wait.
 */

import type { Queryable } from '../shard/queryable.js';
import { unacknowledgedRouters } from '../topology/catalog.js';
import type { MoveRow } from './move-row.js';
import { isHeldIn, type MoveRole, type MoveState } from './move-state.js';
import type { MoveWork } from './move-work.js';
import { loadRecord, type StoredRecord } from './record-store.js';
import { isReverseReady } from './steps/streams.js';
import { isSlotAlive } from './stream.js';
import { streamName } from './stream-names.js';
import { withoutStream } from './stream-step.js';

/** The records of both shards; undefined where there is none. */
export type MoveRecords = { readonly [Role in MoveRole]: StoredRecord | undefined };

const NONE: MoveRecords = { source: undefined, destination: undefined };
const WITHOUT_RECORDS: readonly MoveState[] = ['planned', 'preflight'];
/** Where what follows waits until every router has acknowledged what came before. */
const ACKNOWLEDGED: readonly MoveState[] = [
  'fencing',
  'cleaning',
  'rollback_fencing',
  'rollback_cleaning',
];

/** Reads and remembers. */
export class RecordReader {
  readonly #catalog: Queryable;
  /** Sessions are not opened before there is something to ask. */
  readonly #work: () => Promise<MoveWork>;
  readonly #tellLost: () => Promise<void>;
  #records: MoveRecords | undefined;
  #isReverseReady = false;

  /** @param tellLost called when the slot that feeds the copy is found to be gone. */
  constructor(catalog: Queryable, work: () => Promise<MoveWork>, tellLost: () => Promise<void>) {
    this.#catalog = catalog;
    this.#work = work;
    this.#tellLost = tellLost;
  }

  /** The records as they were read last, or as the last effects have left them. */
  get known(): MoveRecords {
    return this.#records ?? NONE;
  }

  /** What an effect has left. */
  remember(on: MoveRole, record: StoredRecord): void {
    if (this.#records !== undefined) this.#records = { ...this.#records, [on]: record };
  }

  forget(): void {
    this.#records = undefined;
  }

  async read({ id, journal: { state } }: MoveRow): Promise<MoveRecords> {
    if (WITHOUT_RECORDS.includes(state)) return NONE;
    if (this.#records !== undefined && isHeldIn(state)) return this.#records;
    const work = await this.#work();
    const [source, destination] = await Promise.all([
      loadRecord(work.source.session, id),
      loadRecord(work.destination.session, id),
    ]);
    const isLost =
      (state === 'copying' || state === 'catching_up') &&
      destination?.hasInbound === true &&
      !(await isSlotAlive(work.source, streamName(id, 'destination')));
    if (isLost) await this.#tellLost();
    this.#records = { source, destination: isLost ? withoutStream(destination) : destination };
    return this.#records;
  }

  /** Whether the reverse stream is ready to be switched on. */
  async hasReverse({ journal }: MoveRow, source: StoredRecord | undefined): Promise<boolean> {
    if (journal.state !== 'catching_up' || source === undefined) return this.#isReverseReady;
    this.#isReverseReady &&= source.hasIdleInbound;
    this.#isReverseReady ||= await isReverseReady(await this.#work(), source);
    return this.#isReverseReady;
  }

  /** How many routers are waited for. Once a fence is up nobody is: what they have acknowledged stays acknowledged. */
  async unacknowledged({ journal, revision }: MoveRow): Promise<number> {
    const { state, generation } = journal;
    const { source, destination } = this.known;
    const isUp = [source, destination].some((record) => record?.barrierWritten === generation);
    if (isUp || !ACKNOWLEDGED.includes(state)) return 0;
    return (await unacknowledgedRouters(this.#catalog, revision)).length;
  }
}
