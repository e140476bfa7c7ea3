import { messageOf, poolError } from '../errors.js';
import type { ProbeResult } from '../topology/node-state.js';
import { hasReached, type WalPosition } from '../topology/wal-position.js';
import { mergeFloors, NO_FLOOR, type SessionFloor, type SessionView } from './session-floor.js';

/**
 * What one logical client has done and seen, so that its reads see its own writes and never go back.
 *
 * After every statement the session asks how far the server had got (see position-capture.ts) and
 * raises its floor to that. While the answer is out:
 * - after a statement on the primary only the primary is certain;
 * - after a read on a replica only that replica is certain, and a read that wants to go elsewhere waits
 *   for the answer.
 *
 * If the answer never comes the server is gone, and with it the knowledge of how far its readers had
 * seen. What the primary says *later* is a safe bound: it is ahead of whatever any replica has shown,
 * up to transactions that have not ended there, for which the next transaction id is the bound.
 */
export interface SessionSources {
  /** How far a server has got, asked after this call. */
  readonly capture: (node: string) => Promise<ProbeResult>;
  /** The server that may be written to, as soon as there is one. */
  readonly primary: () => Promise<string>;
  /** An id on that server above those of all transactions begun so far. */
  readonly nextTransactionId: (node: string) => Promise<bigint>;
  /** Newest end of a snapshot that any server has shown so far. */
  readonly newestSnapshotXmax: () => bigint | undefined;
  /** Told of each position that the session will want to read at. */
  readonly onFloor?: ((position: WalPosition) => void) | undefined;
}

/** A session: a floor and what is still being found out. */
export class Session {
  readonly #sources: SessionSources;
  #floor: SessionFloor;
  /** Deeds on the primary whose position is out, by the order in which they were done. */
  #primaryPending = 0;
  readonly #replicaPending = new Map<string, number>();
  /** Nobody knows how far: the primary has to be asked before anything else is certain. */
  #isLost: 'no' | 'position' | 'position-and-snapshot' = 'no';
  /** A snapshot is claimed that nobody has shown: until it is bounded, nothing may be read without a proof. */
  #isSnapshotDoubtful = false;
  #recovering: Promise<void> | undefined;
  readonly #outstanding = new Set<Promise<void>>();

  constructor(sources: SessionSources, floor: SessionFloor = NO_FLOOR) {
    this.#sources = sources;
    this.#floor = floor;
  }

  /**
   * A session with a floor that is not believed as it stands (an unsigned token from beyond what is known,
   * or an expired one). It begins at the primary; what that holds bounds the claim. A snapshot that no server
   * has shown would never be proven if it was made up, and must be if it was not: it is bounded before any read.
   */
  static claiming(sources: SessionSources, { position, snapshotXmax }: SessionFloor): Session {
    const isShown =
      snapshotXmax === undefined || snapshotXmax <= (sources.newestSnapshotXmax() ?? 0n);
    const session = new Session(sources, {
      position: undefined,
      snapshotXmax: isShown ? snapshotXmax : undefined,
    });
    session.#primaryPending += 1;
    session.#isSnapshotDoubtful = !isShown;
    const bounding = session.#bound(position, isShown ? undefined : snapshotXmax);
    session.#track(
      bounding.catch(() => session.#lose(isShown ? 'position' : 'position-and-snapshot')),
      () => {
        session.#primaryPending -= 1;
        session.#isSnapshotDoubtful = false;
      },
    );
    return session;
  }

  /** What routing needs to know. */
  get view(): SessionView {
    return {
      floor: this.#floor,
      isPrimaryPending: this.#primaryPending > 0 || this.#isLost !== 'no',
      pendingReplicas: this.#pendingReplicas(),
    };
  }

  #pendingReplicas(): ReadonlySet<string> {
    if (this.#replicaPending.size > 0) return new Set(this.#replicaPending.keys());
    const isUnknown = this.#isSnapshotDoubtful || this.#isLost === 'position-and-snapshot';
    return isUnknown ? UNKNOWN_REPLICA : NO_REPLICA;
  }

  /** Takes in a floor from elsewhere, such as another token. */
  merge(floor: SessionFloor): void {
    this.#floor = mergeFloors(this.#floor, floor);
  }

  /** A statement was acknowledged by the primary. */
  didOnPrimary(node: string): void {
    this.#did(node, false, this.#sources.capture(node));
  }

  /** A read was answered by a replica. */
  didOnReplica(node: string): void {
    this.#did(node, true, this.#sources.capture(node));
  }

  /**
   * A cursor or a stream began to read on a server: until it ends, what it will show is not known.
   * Returns what to call when it has ended.
   */
  beginsOn(node: string, isReplica: boolean): () => void {
    let end: () => void = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const capture = () => this.#sources.capture(node);
    this.#did(node, isReplica, ended.then(capture));
    return end;
  }

  /** The primary was shown to see every transaction below this. */
  proved(snapshotXmax: bigint): void {
    const known = this.#floor.snapshotXmax;
    if (known === undefined || known > snapshotXmax) return;
    this.#floor = { ...this.#floor, snapshotXmax: undefined };
  }

  /**
   * Waits until everything done so far has a position.
   *
   * @throws ShardlineError `POOL_SESSION_UNSETTLED` if that needs a primary and there is none.
   */
  async settle(): Promise<void> {
    // What is begun meanwhile is at the end of the same set.
    for (const one of this.#outstanding) await one;
    if (this.#isLost !== 'no') await this.#recover();
  }

  /** The floor once everything done so far is in it. */
  async settledFloor(): Promise<SessionFloor> {
    await this.settle();
    return this.#floor;
  }

  #did(node: string, isReplica: boolean, capture: Promise<ProbeResult>): void {
    this.#addPending(node, isReplica, 1);
    this.#track(
      capture.then(
        (answer) => this.#raise(answer, isReplica && answer.role === 'replica'),
        () => this.#lose(isReplica ? 'position-and-snapshot' : 'position'),
      ),
      () => this.#addPending(node, isReplica, -1),
    );
  }

  #addPending(node: string, isReplica: boolean, change: number): void {
    if (!isReplica) {
      this.#primaryPending += change;
      return;
    }
    const left = (this.#replicaPending.get(node) ?? 0) + change;
    if (left > 0) this.#replicaPending.set(node, left);
    else this.#replicaPending.delete(node);
  }

  #raise(answer: ProbeResult, isReplica: boolean): void {
    const position = { timeline: answer.timeline, lsn: answer.lsn };
    const snapshotXmax = isReplica ? answer.snapshotXmax : undefined;
    this.#floor = mergeFloors(this.#floor, { position, snapshotXmax });
    if (!isReplica) this.#sources.onFloor?.(position);
  }

  async #bound(position: WalPosition | undefined, snapshotXmax: bigint | undefined): Promise<void> {
    const { primary, capture, nextTransactionId } = this.#sources;
    const name = await primary();
    const answer = await capture(name);
    if (snapshotXmax !== undefined) {
      // Beyond the primary's own snapshot there are transactions that wait there; beyond the next id, none.
      const isWithin = snapshotXmax <= answer.snapshotXmax;
      const bound = isWithin ? snapshotXmax : await nextTransactionId(name);
      this.merge({
        position: undefined,
        snapshotXmax: bound < snapshotXmax ? bound : snapshotXmax,
      });
    }
    this.#raiseToClaim(answer, position);
  }

  #raiseToClaim(answer: ProbeResult, claimed: WalPosition | undefined): void {
    const isTrue = claimed !== undefined && hasReached(answer, claimed);
    if (isTrue) this.merge({ position: claimed, snapshotXmax: undefined });
    else this.#raise(answer, false);
  }

  #lose(what: 'position' | 'position-and-snapshot'): void {
    if (this.#isLost !== 'position-and-snapshot') this.#isLost = what;
  }

  #track(work: Promise<void>, done: () => void): void {
    const end = () => {
      done();
      this.#outstanding.delete(tracked);
    };
    const tracked = work.then(end, () => {
      this.#lose('position-and-snapshot');
      end();
    });
    this.#outstanding.add(tracked);
  }

  #recover(): Promise<void> {
    this.#recovering ??= this.#askPrimary().finally(() => {
      this.#recovering = undefined;
    });
    return this.#recovering;
  }

  async #askPrimary(): Promise<void> {
    const lost = this.#isLost;
    try {
      const primary = await this.#sources.primary();
      const needsSnapshot = lost === 'position-and-snapshot';
      const snapshotXmax = needsSnapshot
        ? await this.#sources.nextTransactionId(primary)
        : undefined;
      this.#raise(await this.#sources.capture(primary), false);
      this.merge({ position: undefined, snapshotXmax });
      if (this.#isLost === lost) this.#isLost = 'no';
    } catch (error) {
      throw poolError(
        'POOL_SESSION_UNSETTLED',
        `How far the session has seen is not known: ${messageOf(error)}.`,
        { cause: error },
      );
    }
  }
}

/** Stands for a replica that nobody knows: no server of this name exists, so every read has to settle first. */
const UNKNOWN_REPLICA: ReadonlySet<string> = new Set(['\0']);
const NO_REPLICA: ReadonlySet<string> = new Set();
