import { createHash } from 'node:crypto';
import type { Clock } from '@shardline/core';
import type pg from 'pg';
import { poolError } from '../errors.js';
import type { ProbeResult } from '../topology/node-state.js';
import {
  type KnownServer,
  type ProbeRow,
  probeSql,
  probeValues,
  readProbe,
} from '../topology/probe.js';
import type { Connection } from './connection.js';
import type { Dialer } from './dialer.js';

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
  /** Prepared statements stay on a connection: no pooler hands out another each time. */
  readonly mayPrepare: boolean;
  readonly onStandbyPushed: (inHotStandby: boolean) => void;
  /** The connection broke by itself: the server may have restarted, and be behind where it was. */
  readonly onLost: () => void;
}

interface Statement {
  /** Of a prepared statement. */
  readonly name?: string | undefined;
  readonly text: string;
  readonly values?: readonly unknown[] | undefined;
}

type SendArguments = [connection: Connection, statement: Statement, timeoutMs: number];

/**
 * The probe is parsed and planned once per connection: most of what it costs, and after each write of a session one is
 * asked. Its name is made of its text, since behind a pooler another process may have prepared it here before.
 */
const probeName = `shardline_probe_${createHash('sha256').update(probeSql).digest('hex').slice(0, 16)}`;
/** There is no such prepared statement, or it is there already: a pooler stands in between and nobody has said so. */
const NAME_REFUSED = new Set(['26000', '42P05']);

/** One server's watching connection. */
export class ServerLink {
  readonly #options: ServerLinkOptions;
  #connection: Connection | undefined;
  #dialing: Promise<Connection> | undefined;
  #underWay: Promise<ProbeResult> | undefined;
  #next: Promise<ProbeResult> | undefined;
  #tail: Promise<void> = Promise.resolve();
  readonly #stopping = new AbortController();
  #mayPrepare: boolean;
  /** Who answered last; behind a pooler or an address that moves, the next to answer may be another. */
  #known: KnownServer | undefined;

  constructor(options: ServerLinkOptions) {
    this.#options = options;
    this.#mayPrepare = options.mayPrepare;
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
  async query(
    text: string,
    timeoutMs: number,
    values?: readonly unknown[],
  ): Promise<{ rows: readonly unknown[] }> {
    const connection = await this.#connected();
    return await this.#run<unknown>(connection, { text, values }, timeoutMs);
  }

  /** Closes the connection and opens no other. */
  close(): void {
    this.#stopping.abort();
    this.#drop();
  }

  async #ask(): Promise<ProbeResult> {
    const connection = await this.#connected();
    const known = this.#known;
    const { rows } = await this.#askOn(connection, known);
    const [row] = rows;
    if (row === undefined) throw new Error(`${connection.node} answered a probe with nothing.`);
    const answer = readProbe(row, known);
    this.#known = answer;
    return answer;
  }

  async #askOn(
    connection: Connection,
    known: KnownServer | undefined,
  ): Promise<{ rows: ProbeRow[] }> {
    const { timeoutMs } = this.#options;
    const unnamed = { text: probeSql, values: probeValues(known) };
    if (!this.#mayPrepare) return this.#run(connection, unnamed, timeoutMs);
    try {
      return await this.#run(connection, { ...unnamed, name: probeName }, timeoutMs);
    } catch (error) {
      if (!NAME_REFUSED.has((error as { code?: string }).code ?? '')) throw error;
      this.#mayPrepare = false;
      return this.#run(connection, unnamed, timeoutMs);
    }
  }

  /** One statement after another: the driver will not take a second while one is under way. */
  #run<Row>(...given: SendArguments): Promise<{ rows: Row[] }> {
    const send = () => this.#send<Row>(...given);
    const turn = this.#tail.then(send, send);
    this.#tail = turn.then(noting, noting);
    return turn;
  }

  #send<Row>(
    connection: Connection,
    { name, text, values }: Statement,
    timeoutMs: number,
  ): Promise<{ rows: Row[] }> {
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
      const onAnswer = (error: Error | null, result: { rows: Row[] }) => {
        timer.cancel();
        if (error) reject(error);
        else resolve(result);
      };
      const config = { name, text, values: values === undefined ? undefined : [...values] };
      connection.client.query(config as pg.QueryConfig, onAnswer as never);
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
    connection.client.on('error', () => {
      const isOurs = connection === this.#connection;
      this.#drop(connection);
      if (isOurs) this.#options.onLost();
    });
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
