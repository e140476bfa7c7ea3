import type { ContainerRuntimeClient } from 'testcontainers';
import { CONTAINER_FOLDER } from './container-script.js';
import { textOfDockerLog } from './docker-log.js';
import { releasePort } from './free-port.js';
import type { Guard } from './guard.js';
import type { Leftover } from './guard-protocol.js';
import { ManagedServer } from './managed-server.js';
import type { ServerSpec } from './server.js';

type Container = ReturnType<ContainerRuntimeClient['container']['getById']>;

/** How soon an end that nobody asked for is noticed. */
const WATCH_EVERY_MS = 250;
/** Lines of the log that are read; a container's whole log may be without end. */
const LOG_LINES = 2_000;

/** What a ContainerServer is made of. */
export interface ContainerParts {
  readonly guard: Guard;
  /** What the guard removes if this process dies; undefined where Testcontainers' own reaper does. */
  readonly leftover: Leftover | undefined;
  /** Makes and starts the container; not yet called. */
  readonly create: () => Promise<Container>;
}

/** One container, on the host's network, so that its port means the same inside and out. */
export class ContainerServer extends ManagedServer {
  readonly #parts: ContainerParts;
  readonly pid = undefined;
  #container: Container | undefined;
  #watch: NodeJS.Timeout | undefined;

  constructor(parts: ContainerParts, spec: ServerSpec) {
    super(spec);
    this.#parts = parts;
  }

  protected get folder(): string {
    return `${CONTAINER_FOLDER} of its container`;
  }

  protected async launch(): Promise<void> {
    if (this.#container === undefined) this.#container = await this.#parts.create();
    else await this.#container.start();
    clearInterval(this.#watch);
    this.#watch = setInterval(() => void this.#look(), WATCH_EVERY_MS).unref();
  }

  protected async hasEnded(): Promise<boolean> {
    const { State } = await this.#expectContainer().inspect();
    return !State.Running;
  }

  protected async describeEnd(): Promise<string> {
    const { State } = await this.#expectContainer().inspect();
    return `exit code ${State.ExitCode}`;
  }

  protected async killAll(): Promise<void> {
    clearInterval(this.#watch);
    if (this.#container === undefined || (await this.hasEnded())) return;
    await this.#container.kill({ signal: 'SIGKILL' }).catch(unlessNotRunning);
    await this.#container.wait();
  }

  protected async pause(): Promise<void> {
    await this.#expectContainer().pause();
  }

  protected async resume(): Promise<void> {
    await this.#expectContainer().unpause();
  }

  protected async sendSignal(signal: NodeJS.Signals): Promise<void> {
    await this.#expectContainer().kill({ signal });
  }

  protected async readLog(): Promise<string> {
    if (this.#container === undefined) return '';
    const frames = await this.#container.logs({ stdout: true, stderr: true, tail: LOG_LINES });
    return textOfDockerLog(frames);
  }

  protected async removeAll(): Promise<void> {
    clearInterval(this.#watch);
    const { guard, leftover } = this.#parts;
    await this.#container?.remove({ force: true, v: true });
    if (leftover !== undefined) await guard.forget(leftover);
    await releasePort(this.port);
    await guard.release();
  }

  async #look(): Promise<void> {
    try {
      if (await this.hasEnded()) this.noteEnd();
    } catch {
      // The engine does not answer, or the container is being removed: the next operation says so.
    }
  }

  #expectContainer(): Container {
    if (this.#container === undefined) throw new Error(`${this.name} has no container yet`);
    return this.#container;
  }
}

/** It ended between the look and the kill: what was wanted. */
function unlessNotRunning(error: { statusCode?: number }): void {
  if (error.statusCode !== 409) throw error;
}
