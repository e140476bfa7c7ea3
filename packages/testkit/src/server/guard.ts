import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ShardlineError } from '@shardline/core';
import { testkitErrors } from '../errors.js';
import type {
  GuardExit,
  GuardMessage,
  GuardOrder,
  GuardReply,
  GuardRequest,
  Leftover,
  SpawnOrder,
} from './guard-protocol.js';

/**
 * The parent's side of the guard (see guard-main.mjs). There is one guard in a process: it is started
 * for the first holder and ends with the last. It keeps nobody alive: the event loop waits for it
 * only while a request is under way.
 */

/** A server process under guard. */
export interface GuardedProcess {
  readonly pid: number;
  /**
   * Resolves when the process has ended, for whatever reason; never rejects. It does not keep this
   * process alive: whoever waits for it uses exitOf().
   */
  readonly exited: Promise<ExitReport>;
}

/** How a process ended. */
export type ExitReport = Pick<GuardExit, 'code' | 'signal'>;

interface Pending {
  readonly resolve: (reply: GuardReply) => void;
  readonly reject: (error: unknown) => void;
}

let current: Guard | undefined;

/** The guard of this process, started if need be. Give it back with release(). */
export function acquireGuard(): Guard {
  if (current === undefined || current.isOver) current = new Guard();
  current.hold();
  return current;
}

export class Guard {
  readonly #child: ChildProcess;
  readonly #gone: Promise<void>;
  readonly #pending = new Map<number, Pending>();
  readonly #exits = new Map<number, (report: ExitReport) => void>();
  readonly #earlyExits = new Map<number, ExitReport>();
  readonly #leftovers = new Map<string, Leftover>();
  #holders = 0;
  /** Ends of processes that someone waits for. */
  #awaited = 0;
  #lastId = 0;
  #isOver = false;

  constructor() {
    this.#child = fork(guardProgram(), [], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      // Neither the loaders and inspectors of the caller nor its secrets are the guard's business.
      execArgv: [],
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin:/usr/sbin:/sbin' },
    });
    this.#child.unref();
    this.#child.channel?.unref();
    this.#child.on('message', (message) => this.#hear(message as GuardMessage));
    this.#gone = new Promise((resolve) => {
      this.#child.once('exit', resolve);
      this.#child.once('error', resolve);
    }).then(() => this.#lose());
  }

  /** Whether it has ended or been told to: a new one is needed. */
  get isOver(): boolean {
    return this.#isOver;
  }

  hold(): void {
    this.#holders += 1;
  }

  /** Gives it back; the last one to do so ends it, and waits until it is gone. */
  async release(): Promise<void> {
    this.#holders -= 1;
    if (this.#holders > 0 || this.#isOver) return;
    this.#isOver = true;
    this.#child.ref();
    if (this.#child.connected) this.#child.disconnect();
    await this.#gone;
  }

  async spawn(order: SpawnOrder): Promise<GuardedProcess> {
    const { pid } = await this.#ask({ type: 'spawn', ...order });
    if (pid === undefined) throw this.#lostError();
    const exited = new Promise<ExitReport>((resolve) => {
      const early = this.#earlyExits.get(pid);
      this.#earlyExits.delete(pid);
      if (early !== undefined) resolve(early);
      else this.#exits.set(pid, resolve);
    });
    return { pid, exited };
  }

  /** Waits for the end of a process, and keeps this one alive until then. */
  async exitOf(started: GuardedProcess): Promise<ExitReport> {
    this.#awaited += 1;
    this.#child.channel?.ref();
    try {
      return await started.exited;
    } finally {
      this.#awaited -= 1;
      this.#unrefIfIdle();
    }
  }

  async signal(pid: number, signal: NodeJS.Signals): Promise<void> {
    await this.#ask({ type: 'signal', pid, signal });
  }

  /** Acts on a process and everything under it. */
  async tree(type: 'freeze' | 'thaw' | 'kill', pid: number): Promise<void> {
    await this.#ask({ type, pid });
  }

  /** Names something that must not outlive this process. To be called before it is made. */
  async keep(leftover: Leftover): Promise<void> {
    this.#leftovers.set(JSON.stringify(leftover), leftover);
    await this.#ask({ type: 'keep', leftover });
  }

  /** It was removed by someone else. */
  async forget(leftover: Leftover): Promise<void> {
    this.#leftovers.delete(JSON.stringify(leftover));
    await this.#ask({ type: 'forget', leftover });
  }

  /** Removes it now. */
  async remove(leftover: Leftover): Promise<void> {
    await this.#ask({ type: 'remove', leftover });
    this.#leftovers.delete(JSON.stringify(leftover));
  }

  #ask(order: GuardOrder): Promise<GuardReply> {
    this.#lastId += 1;
    const request: GuardRequest = { ...order, id: this.#lastId };
    return new Promise<GuardReply>((resolve, reject) => {
      if (!this.#child.connected) return reject(this.#lostError());
      this.#pending.set(request.id, { resolve, reject });
      this.#child.channel?.ref();
      this.#child.send(request, (error) => {
        if (error !== null) this.#settle(request.id)?.reject(this.#lostError(error));
      });
    });
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    this.#unrefIfIdle();
    return pending;
  }

  #unrefIfIdle(): void {
    if (this.#pending.size === 0 && this.#awaited === 0) this.#child.channel?.unref();
  }

  #hear(message: GuardMessage): void {
    if (message.type === 'exit') {
      const { pid, code, signal } = message;
      const report = this.#exits.get(pid);
      // A process may end before the reply that names its pid has been read.
      if (report === undefined) this.#earlyExits.set(pid, { code, signal });
      else report({ code, signal });
      this.#exits.delete(pid);
      return;
    }
    const pending = this.#settle(message.id);
    if (message.error === undefined) pending?.resolve(message);
    else pending?.reject(Object.assign(new Error(message.error.message), message.error));
  }

  /** The guard has ended. If that was too early, a successor ends what it had watched over. */
  #lose(): void {
    const wasExpected = this.#isOver;
    this.#isOver = true;
    for (const pending of this.#pending.values()) pending.reject(this.#lostError());
    this.#pending.clear();
    const pids = [...this.#exits.keys()];
    for (const report of this.#exits.values()) report({ code: null, signal: 'SIGKILL' });
    this.#exits.clear();
    if (!wasExpected) void this.#handOver(pids);
  }

  async #handOver(pids: readonly number[]): Promise<void> {
    const successor = new Guard();
    successor.hold();
    await successor.#ask({ type: 'adopt', pids });
    for (const leftover of this.#leftovers.values()) await successor.keep(leftover);
    await successor.release();
  }

  #lostError(cause?: unknown): ShardlineError {
    return new ShardlineError(
      testkitErrors.TESTKIT_GUARD_LOST,
      'The process that watches over the servers of this run has ended.',
      cause === undefined ? {} : { cause },
    );
  }
}

/** `guard.js` stands beside the built package, `guard-main.mjs` beside this source. */
function guardProgram(): string {
  const built = fileURLToPath(new URL('./guard.js', import.meta.url));
  return existsSync(built) ? built : fileURLToPath(new URL('./guard-main.mjs', import.meta.url));
}
