import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Duration, isShardlineError, ShardlineError } from '@shardline/core';
import { testkitErrors } from '../errors.js';
import { releasePort } from './free-port.js';
import type { ExitReport, Guard, GuardedProcess } from './guard.js';
import { isPortFree } from './port-probe.js';
import { SerialQueue } from './serial-queue.js';
import type { LocalPlace, Server, ServerSpec, ServerState } from './server.js';
import { lastLines, startError } from './start-failure.js';
import { waitUntil } from './wait-until.js';

/** Enough for an orderly end with open transactions; then the kernel ends it. */
const SHUTDOWN_WITHIN: Duration = '20s';
const END_WITHIN: Duration = '5s';
/** Of the log that is kept in memory once the folder is gone. */
const KEPT_LOG_BYTES = 256 * 1024;

/**
 * One process with its folder.
 *
 * Its operations run one after the other, so a kill() that is called during a restart() waits for
 * the restart to end. An exit that nobody asked for turns `running` into `down` at once.
 */
export class NativeServer implements Server {
  readonly host = '127.0.0.1';
  readonly #guard: Guard;
  readonly #place: LocalPlace;
  readonly #spec: ServerSpec;
  readonly #operations = new SerialQueue();
  #state: ServerState = 'down';
  #process: GuardedProcess | undefined;
  #lastExit: ExitReport | undefined;
  #keptLog: string | undefined;

  constructor(guard: Guard, place: LocalPlace, spec: ServerSpec) {
    this.#guard = guard;
    this.#place = place;
    this.#spec = spec;
  }

  get name(): string {
    return this.#spec.name;
  }

  get port(): number {
    return this.#spec.port;
  }

  get state(): ServerState {
    return this.#state;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** The first start: the backend's business. */
  start(): Promise<void> {
    return this.#operations.run(() => this.#launch());
  }

  kill(): Promise<void> {
    return this.#operations.run(() => this.#killNow('kill'));
  }

  freeze(): Promise<void> {
    return this.#operations.run(async () => {
      if (this.#state === 'frozen') return;
      await this.#guard.tree('freeze', this.#runningPid('freeze'));
      this.#state = 'frozen';
    });
  }

  thaw(): Promise<void> {
    return this.#operations.run(async () => {
      await this.#guard.tree('thaw', this.#runningPid('thaw'));
      this.#state = 'running';
    });
  }

  shutdown(): Promise<void> {
    return this.#operations.run(async () => {
      this.#expectNotRemoved('shut down');
      await this.#end(this.#spec.shutdownSignal ?? 'SIGTERM', SHUTDOWN_WITHIN);
    });
  }

  restart(): Promise<void> {
    return this.#operations.run(async () => {
      this.#expectNotRemoved('restart');
      await this.#end(this.#spec.shutdownSignal ?? 'SIGTERM', SHUTDOWN_WITHIN);
      await this.#launch();
    });
  }

  stop(): Promise<void> {
    return this.#operations.run(async () => {
      if (this.#state === 'removed') return;
      await this.#end(this.#spec.endSignal ?? 'SIGKILL', END_WITHIN);
      this.#keptLog = await this.#readLog();
      this.#state = 'removed';
      await unlessGuardIsLost(this.#guard.remove({ kind: 'path', path: this.#place.folder }));
      await releasePort(this.port);
      await this.#guard.release();
    });
  }

  async logs(lines?: number): Promise<string> {
    const text = this.#keptLog ?? (await this.#readLog());
    return lines === undefined ? text : lastLines(text, lines);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #launch(): Promise<void> {
    if (!(await isPortFree(this.port))) {
      throw startError({
        spec: this.#spec,
        folder: this.#place.folder,
        happened: 'could not be started',
        log: `bind: port ${this.port} is in use by another program`,
      });
    }
    await this.#spawn();
    try {
      await this.#waitUntilReady();
    } catch (error) {
      await this.#failStart(error);
    }
    this.#state = 'running';
  }

  async #spawn(): Promise<void> {
    const [program = '', ...args] = this.#spec.command(this.#place);
    const started = await this.#guard.spawn({
      program,
      arguments: args,
      environment: {
        PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
        // The caller's language would change the texts that tests read.
        LC_ALL: 'C',
        TZ: 'UTC',
        ...this.#place.environment,
        ...this.#spec.environment,
      },
      folder: this.#place.folder,
      logFile: this.#logFile,
      endSignal: this.#spec.endSignal ?? 'SIGKILL',
      ...this.#place.owner,
    });
    this.#process = started;
    this.#lastExit = undefined;
    void started.exited.then((report) => {
      if (this.#process !== started) return;
      this.#process = undefined;
      this.#lastExit = report;
      if (this.#state !== 'removed') this.#state = 'down';
    });
  }

  async #waitUntilReady(): Promise<void> {
    const { name, isReady, readyWithin = '60s', signal } = this.#spec;
    await waitUntil(
      async () => {
        if (this.#process === undefined) return 'ended' as const;
        const ready = await isReady({ host: this.host, port: this.port });
        // Another program's server may answer on the port of ours, which could not get it.
        return this.#process === undefined ? ('ended' as const) : ready;
      },
      {
        what: `server ${name} to serve`,
        within: readyWithin,
        ...(signal === undefined ? {} : { signal }),
      },
    );
    if (this.#process === undefined) throw new EndedTooSoon();
  }

  async #failStart(error: unknown): Promise<never> {
    const report = this.#lastExit;
    await this.#killNow('end');
    if (this.#spec.signal?.aborted === true) throw error;
    const hasEnded = error instanceof EndedTooSoon;
    throw startError({
      spec: this.#spec,
      folder: this.#place.folder,
      happened: hasEnded
        ? `ended before it served (${describeExit(report)})`
        : `did not serve within ${this.#spec.readyWithin ?? '60s'}`,
      log: await this.#readLog(),
      ...(hasEnded ? {} : { cause: error }),
    });
  }

  async #killNow(verb: string): Promise<void> {
    this.#expectNotRemoved(verb);
    const running = this.#process;
    if (running === undefined) return;
    await unlessGuardIsLost(this.#guard.tree('kill', running.pid));
    await running.exited;
    this.#process = undefined;
    this.#state = 'down';
  }

  /** Signals it and waits; if that does not help in time, kills it. */
  async #end(signal: NodeJS.Signals, within: Duration): Promise<void> {
    const running = this.#process;
    if (running === undefined) return;
    if (signal === 'SIGKILL') return this.#killNow('end');
    try {
      await this.#guard.signal(running.pid, signal);
      if (this.#state === 'frozen') await this.#guard.tree('thaw', running.pid);
      await waitUntil(() => this.#process !== running, {
        what: `server ${this.name} to end`,
        within,
      });
    } catch {
      // It is gone already, or it does not obey: both end here.
      await this.#killNow('end');
    }
  }

  #runningPid(verb: string): number {
    this.#expectNotRemoved(verb);
    if (this.#process !== undefined) return this.#process.pid;
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

  get #logFile(): string {
    return join(this.#place.folder, 'server.log');
  }

  async #readLog(): Promise<string> {
    try {
      const { size } = await stat(this.#logFile);
      const length = Math.min(size, KEPT_LOG_BYTES);
      const file = await open(this.#logFile);
      try {
        const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
        return buffer.toString('utf8');
      } finally {
        await file.close();
      }
    } catch {
      return ''; // Never started, or its folder went with a lost guard.
    }
  }
}

class EndedTooSoon extends Error {}

function describeExit(report: ExitReport | undefined): string {
  if (report === undefined) return 'for a reason unknown';
  return report.signal === null ? `exit code ${report.code}` : `signal ${report.signal}`;
}

/** A guard that is lost has a successor, which ends and removes all that it knew. */
async function unlessGuardIsLost(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isShardlineError(error, 'TESTKIT_GUARD_LOST')) throw error;
  }
}
