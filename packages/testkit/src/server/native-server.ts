import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isShardlineError } from '@shardline/core';
import { releasePort } from './free-port.js';
import type { ExitReport, Guard, GuardedProcess } from './guard.js';
import { KEPT_LOG_BYTES, ManagedServer } from './managed-server.js';
import type { LocalPlace, ServerSpec } from './server.js';

/** One process of this machine with its folder, under the guard. */
export class NativeServer extends ManagedServer {
  readonly #guard: Guard;
  readonly #place: LocalPlace;
  #process: GuardedProcess | undefined;
  #lastExit: ExitReport | undefined;

  constructor(guard: Guard, place: LocalPlace, spec: ServerSpec) {
    super(spec);
    this.#guard = guard;
    this.#place = place;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  protected get folder(): string {
    return this.#place.folder;
  }

  protected async launch(): Promise<void> {
    const [program = '', ...args] = this.spec.command(this.#place);
    const started = await this.#guard.spawn({
      program,
      arguments: args,
      environment: {
        PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
        // The caller's language would change the texts that tests read.
        LC_ALL: 'C',
        TZ: 'UTC',
        ...this.#place.environment,
        ...this.spec.environment,
      },
      folder: this.folder,
      logFile: this.#logFile,
      endSignal: this.spec.endSignal ?? 'SIGKILL',
      ...this.#place.owner,
    });
    this.#process = started;
    void started.exited.then((report) => {
      this.#process = undefined;
      this.#lastExit = report;
      this.noteEnd();
    });
  }

  protected hasEnded(): Promise<boolean> {
    return Promise.resolve(this.#process === undefined);
  }

  protected describeEnd(): Promise<string> {
    const { code, signal } = this.#lastExit ?? { code: null, signal: null };
    return Promise.resolve(signal === null ? `exit code ${code}` : `signal ${signal}`);
  }

  protected async killAll(): Promise<void> {
    const running = this.#process;
    if (running === undefined) return;
    await unlessGuardIsLost(this.#guard.tree('kill', running.pid));
    await running.exited;
  }

  protected async pause(): Promise<void> {
    if (this.#process !== undefined) await this.#guard.tree('freeze', this.#process.pid);
  }

  protected async resume(): Promise<void> {
    if (this.#process !== undefined) await this.#guard.tree('thaw', this.#process.pid);
  }

  protected async sendSignal(signal: NodeJS.Signals): Promise<void> {
    if (this.#process !== undefined) await this.#guard.signal(this.#process.pid, signal);
  }

  protected async removeAll(): Promise<void> {
    await unlessGuardIsLost(this.#guard.remove({ kind: 'path', path: this.folder }));
    await releasePort(this.port);
    await this.#guard.release();
  }

  protected async readLog(): Promise<string> {
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

  get #logFile(): string {
    return join(this.folder, 'server.log');
  }
}

/** A guard that is lost has a successor, which ends and removes all that it knew. */
async function unlessGuardIsLost(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isShardlineError(error, 'TESTKIT_GUARD_LOST')) throw error;
  }
}
