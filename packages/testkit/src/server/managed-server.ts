import { type Duration, ShardlineError } from '@shardline/core';
import { testkitErrors } from '../errors.js';
import { isPortFree } from './port-probe.js';
import { SerialQueue } from './serial-queue.js';
import type { Server, ServerSpec, ServerState } from './server.js';
import { lastLines, startError } from './start-failure.js';
import { waitUntil } from './wait-until.js';

/** Enough for an orderly end with open transactions; then it is killed. */
const SHUTDOWN_WITHIN: Duration = '20s';
const END_WITHIN: Duration = '5s';

/** Of the log that is kept in memory once the server is removed. */
export const KEPT_LOG_BYTES = 256 * 1024;

/**
 * What a process and a container have in common: the states of a server and the way between them.
 *
 * Operations run one after the other, so a kill() that is called during a restart() waits for the
 * restart to end. An end that nobody asked for turns `running` into `down` (noteEnd).
 */
export abstract class ManagedServer implements Server {
  readonly host = '127.0.0.1';
  protected readonly spec: ServerSpec;
  readonly #operations = new SerialQueue();
  #state: ServerState = 'down';
  #keptLog: string | undefined;

  constructor(spec: ServerSpec) {
    this.spec = spec;
  }

  abstract get pid(): number | undefined;
  /** Where its files are, for messages. */
  protected abstract get folder(): string;
  /** Starts the program; whether it serves is not its concern. */
  protected abstract launch(): Promise<void>;
  protected abstract hasEnded(): Promise<boolean>;
  /** How it ended: `exit code 1`. */
  protected abstract describeEnd(): Promise<string>;
  /** SIGKILL to all of it; resolves when it is gone, also if it was. */
  protected abstract killAll(): Promise<void>;
  protected abstract pause(): Promise<void>;
  protected abstract resume(): Promise<void>;
  protected abstract sendSignal(signal: NodeJS.Signals): Promise<void>;
  protected abstract readLog(): Promise<string>;
  /** Removes everything of a server that has ended. */
  protected abstract removeAll(): Promise<void>;

  get name(): string {
    return this.spec.name;
  }

  get port(): number {
    return this.spec.port;
  }

  get state(): ServerState {
    return this.#state;
  }

  /** The first start: the backend's business. */
  start(): Promise<void> {
    return this.#operations.run(() => this.#launchUntilReady());
  }

  kill(): Promise<void> {
    return this.#operations.run(async () => {
      this.#expectNotRemoved('kill');
      await this.#killNow();
    });
  }

  freeze(): Promise<void> {
    return this.#operations.run(async () => {
      this.#expectUp('freeze');
      if (this.#state === 'frozen') return;
      await this.pause();
      this.#state = 'frozen';
    });
  }

  thaw(): Promise<void> {
    return this.#operations.run(async () => {
      this.#expectUp('thaw');
      if (this.#state === 'running') return;
      await this.resume();
      this.#state = 'running';
    });
  }

  shutdown(): Promise<void> {
    return this.#operations.run(async () => {
      this.#expectNotRemoved('shut down');
      await this.#end(this.spec.shutdownSignal ?? 'SIGTERM', SHUTDOWN_WITHIN);
    });
  }

  restart(): Promise<void> {
    return this.#operations.run(async () => {
      this.#expectNotRemoved('restart');
      await this.#end(this.spec.shutdownSignal ?? 'SIGTERM', SHUTDOWN_WITHIN);
      await this.#launchUntilReady();
    });
  }

  stop(): Promise<void> {
    return this.#operations.run(async () => {
      if (this.#state === 'removed') return;
      await this.#end(this.spec.endSignal ?? 'SIGKILL', END_WITHIN);
      this.#keptLog = await this.readLog();
      this.#state = 'removed';
      await this.removeAll();
    });
  }

  async logs(lines?: number): Promise<string> {
    const text = this.#keptLog ?? (await this.readLog());
    return lines === undefined ? text : lastLines(text, lines);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** To be called when it has ended, for whatever reason. */
  protected noteEnd(): void {
    if (this.#state !== 'removed') this.#state = 'down';
  }

  async #launchUntilReady(): Promise<void> {
    if (!(await isPortFree(this.port))) {
      const log = `port ${this.port}: address already in use`;
      throw startError({ spec: this.spec, folder: this.folder, happened: 'was not started', log });
    }
    try {
      await this.launch();
      await this.#waitUntilReady();
    } catch (error) {
      throw await this.#failure(error);
    }
    this.#state = 'running';
  }

  async #waitUntilReady(): Promise<void> {
    const { name, isReady, readyWithin = '60s', signal } = this.spec;
    const outcome = await waitUntil(
      async () => {
        if (await this.hasEnded()) return 'ended' as const;
        const ready = await isReady(this);
        // Another program's server may answer on the port that ours could not get.
        return (await this.hasEnded()) ? ('ended' as const) : ready;
      },
      {
        what: `server ${name} to serve`,
        within: readyWithin,
        ...(signal === undefined ? {} : { signal }),
      },
    );
    if (outcome === 'ended') throw new EndedTooSoon();
  }

  async #failure(error: unknown): Promise<unknown> {
    const { signal, readyWithin = '60s' } = this.spec;
    const hasEnded = error instanceof EndedTooSoon;
    const happened = hasEnded
      ? `ended before it served (${await this.describeEnd()})`
      : `did not serve within ${readyWithin}`;
    await this.#killNow();
    if (signal?.aborted === true) return error;
    const log = await this.readLog();
    const cause = hasEnded ? {} : { cause: error };
    return startError({ spec: this.spec, folder: this.folder, happened, log, ...cause });
  }

  async #killNow(): Promise<void> {
    await this.killAll();
    this.noteEnd();
  }

  /** Signals it and waits; if that does not help in time, kills it. */
  async #end(signal: NodeJS.Signals, within: Duration): Promise<void> {
    if (this.#state === 'down' || signal === 'SIGKILL') return this.#killNow();
    try {
      await this.sendSignal(signal);
      if (this.#state === 'frozen') await this.resume();
      await waitUntil(() => this.hasEnded(), { what: `server ${this.name} to end`, within });
      this.noteEnd();
    } catch {
      // It is gone already, or it does not obey: both end here.
      await this.#killNow();
    }
  }

  #expectUp(verb: string): void {
    this.#expectNotRemoved(verb);
    if (this.#state !== 'down') return;
    throw new ShardlineError(
      testkitErrors.TESTKIT_SERVER_STATE,
      `Server ${this.name} is down: there is nothing to ${verb}.`,
    );
  }

  #expectNotRemoved(verb: string): void {
    if (this.#state !== 'removed') return;
    throw new ShardlineError(
      testkitErrors.TESTKIT_SERVER_STATE,
      `Server ${this.name} was removed by stop(): there is nothing to ${verb}.`,
    );
  }
}

class EndedTooSoon extends Error {}
