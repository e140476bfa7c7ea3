import { type ChildProcess, fork } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { bundle } from '../bundle.js';
import type { ReadingServers } from './readings.js';

/** What a service process is told. */
export interface ServiceOrder {
  readonly id: number;
  /** `read` goes past session and cache to the primary; `scatter` asks every shard for its keys. */
  readonly what: 'get' | 'query' | 'update' | 'transaction' | 'read' | 'scatter';
  readonly key: number;
  readonly value?: string;
  readonly token?: string | undefined;
}

/** What it answers. */
export interface ServiceAnswer {
  readonly id: number;
  readonly version?: number | undefined;
  readonly value?: string | null | undefined;
  /** What a scatter found. */
  readonly keys?: readonly string[] | undefined;
  readonly token?: string;
  readonly error?: { readonly code?: string | undefined; readonly message: string };
}

/** A process of the service, which can be killed and started anew. */
export class ServiceProcess {
  readonly #bundle: string;
  readonly #servers: ReadingServers;
  readonly #waiting = new Map<
    number,
    { resolve: (answer: ServiceAnswer) => void; reject: (error: Error) => void }
  >();
  #child: ChildProcess | undefined;
  #nextId = 0;

  constructor(bundle: string, servers: ReadingServers) {
    this.#bundle = bundle;
    this.#servers = servers;
  }

  async start(): Promise<void> {
    const child = fork(this.#bundle, [JSON.stringify(this.#servers)], { stdio: 'inherit' });
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve());
      child.once('exit', (code) => reject(new Error(`A service process ended with ${code}.`)));
    });
    child.on('message', (answer: ServiceAnswer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if (answer.error === undefined) waiting?.resolve(answer);
      else waiting?.reject(Object.assign(new Error(answer.error.message), answer.error));
    });
    child.once('exit', () => {
      for (const { reject } of this.#waiting.values()) {
        reject(Object.assign(new Error('The process was killed.'), { code: 'ECONNRESET' }));
      }
      this.#waiting.clear();
    });
  }

  ask(order: Omit<ServiceOrder, 'id'>): Promise<ServiceAnswer> {
    this.#nextId += 1;
    const id = this.#nextId;
    return new Promise((resolve, reject) => {
      const { connected = false } = this.#child ?? {};
      if (!connected) {
        reject(Object.assign(new Error('The process is gone.'), { code: 'ECONNREFUSED' }));
        return;
      }
      this.#waiting.set(id, { resolve, reject });
      this.#child?.send({ ...order, id });
    });
  }

  /** Ends it as the kernel does when memory runs out: at once, with nothing flushed. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }
}

/** Processes of one service on the same servers. */
export interface Services {
  readonly processes: ServiceProcess[];
  /** Starts one more. */
  add(): Promise<ServiceProcess>;
  stop(): Promise<void>;
}

/** Packs the service, and starts so many processes of it. */
export async function startServices(servers: ReadingServers, count: number): Promise<Services> {
  const program = await bundle(new URL('service-main.ts', import.meta.url));
  const processes: ServiceProcess[] = [];
  const add = async () => {
    const service = new ServiceProcess(program, servers);
    processes.push(service);
    await service.start();
    return service;
  };
  await Promise.all(Array.from({ length: count }, add));
  return {
    processes,
    add,
    stop: async () => {
      await Promise.all(processes.map((each) => each.kill()));
      await rm(program, { force: true });
    },
  };
}

/** For messages: a history has bigints. */
export function bigints(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
