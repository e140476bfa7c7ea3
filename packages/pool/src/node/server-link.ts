import type { Clock } from '@shardline/core';
import { poolError } from '../errors.js';
import type { ProbeResult } from '../topology/node-state.js';
import { parseLsn, settleInsertLsn } from '../topology/wal-position.js';
import type { Connection } from './connection.js';
import type { Dialer } from './dialer.js';
import probeSql from './probe.sql';

/**
 * The connection over which a server is watched, beside the pool: it is there when every pooled
 * connection is busy or stuck, and it is what notices a dead server while a statement hangs.
 *
 * Positions are asked for over it too. A position covers what was acknowledged before the question
 * was *sent*; so questions coalesce: at most one is under way and one stands ready, which answers
 * everybody who asked in the meantime.
 */
export interface ServerLinkOptions {
  readonly dialer: Dialer;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly onStandbyPushed: (inHotStandby: boolean) => void;
}

/** One server's watching connection. */
export class ServerLink {
  readonly #options: ServerLinkOptions;
  #connection: Connection | undefined;
  #dialing: Promise<Connection> | undefined;
  #underWay: Promise<ProbeResult> | undefined;
  #next: Promise<ProbeResult> | undefined;
  readonly #stopping = new AbortController();

  constructor(options: ServerLinkOptions) {
    this.#options = options;
  }

  /** What the server says when asked now or later; never an answer to an earlier question. */
  probe(): Promise<ProbeResult> {
    if (this.#next !== undefined) return this.#next;
    const previous = this.#underWay ?? Promise.resolve();
    const next: Promise<ProbeResult> = previous
      .then(noting, noting)
      .then(() => {
        this.#next = undefined;
        this.#underWay = next;
        return this.#ask();
      })
      .finally(() => {
        if (this.#underWay === next) this.#underWay = undefined;
      });
    this.#next = next;
    return next;
  }

  /** Runs a statement of the pool's own, such as reading the catalog. */
  async query(text: string, timeoutMs: number): Promise<{ rows: readonly unknown[] }> {
    const connection = await this.#connected();
    return await this.#run<unknown>(connection, text, timeoutMs);
  }

  /** Closes the connection and opens no other. */
  close(): void {
    this.#stopping.abort();
    this.#drop();
  }

  async #ask(): Promise<ProbeResult> {
    const connection = await this.#connected();
    const { rows } = await this.#run<ProbeRow>(connection, probeSql, this.#options.timeoutMs);
    const [row] = rows;
    if (row === undefined) throw new Error(`${connection.node} answered a probe with nothing.`);
    return readProbe(row);
  }

  #run<Row>(connection: Connection, text: string, timeoutMs: number): Promise<{ rows: Row[] }> {
    return new Promise((resolve, reject) => {
      const timer = this.#options.clock.schedule(timeoutMs, () => {
        this.#drop(connection);
        reject(
          poolError(
            'POOL_CONNECTION_LOST',
            `${connection.node} did not answer the monitor within ${timeoutMs} ms.`,
          ),
        );
      });
      connection.client.query(text, (error: Error | null, result: { rows: Row[] }) => {
        timer.cancel();
        if (error) reject(error);
        else resolve(result);
      });
    });
  }

  async #connected(): Promise<Connection> {
    if (this.#connection?.isAlive === true) return this.#connection;
    this.#dialing ??= this.#options.dialer.dial(this.#stopping.signal).finally(() => {
      this.#dialing = undefined;
    });
    const connection = await this.#dialing;
    if (this.#connection !== connection) this.#adopt(connection);
    return connection;
  }

  #adopt(connection: Connection): void {
    this.#connection = connection;
    const tell = this.#options.onStandbyPushed;
    connection.client.on('error', () => this.#drop(connection));
    connection.client.connection?.on(
      'parameterStatus',
      (message: { parameterName: string; parameterValue: string }) => {
        if (message.parameterName === 'in_hot_standby') tell(message.parameterValue === 'on');
      },
    );
  }

  #drop(connection = this.#connection): void {
    if (connection === undefined) return;
    if (connection === this.#connection) this.#connection = undefined;
    connection.state = 'closed';
    connection.destroy();
    connection.client.end(noting);
  }
}

/** The next question does not depend on how the previous one ended. */
function noting(): void {}

interface ProbeRow {
  readonly in_recovery: boolean;
  readonly lsn: string | null;
  readonly received_lsn: string | null;
  readonly replay_age_ms: number | null;
  readonly timeline: string | null;
  readonly system_identifier: string;
  readonly started_at: string;
  readonly snapshot_xmax: string;
  readonly snapshot_xmin: string;
  readonly segment_bytes: string;
}

function readProbe(row: ProbeRow): ProbeResult {
  const lsn = parseLsn(row.lsn ?? '') ?? 0n;
  return {
    role: row.in_recovery ? 'replica' : 'primary',
    timeline: Number(row.timeline ?? 0),
    lsn: row.in_recovery ? lsn : settleInsertLsn(lsn, BigInt(row.segment_bytes)),
    receivedLsn: parseLsn(row.received_lsn ?? ''),
    replayAgeMs: row.replay_age_ms === null ? undefined : Number(row.replay_age_ms),
    systemIdentifier: row.system_identifier,
    startedAt: row.started_at,
    snapshotXmax: BigInt(row.snapshot_xmax),
    snapshotXmin: BigInt(row.snapshot_xmin),
  };
}
