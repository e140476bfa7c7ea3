import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
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

const root = new URL('../../', import.meta.url);

/** Packs the service into one file that Node can run. */
export async function bundleService(): Promise<string> {
  const tsconfig = JSON.parse(readFileSync(new URL('tsconfig.json', root), 'utf8'));
  const paths = tsconfig.compilerOptions.paths as Record<string, [string]>;
  const folder = new URL('node_modules/.cache/shardline-tests/', root);
  await mkdir(folder, { recursive: true });
  const outfile = fileURLToPath(new URL(`layer-service-${process.pid}.mjs`, folder));
  await build({
    entryPoints: [fileURLToPath(new URL('./service-main.ts', import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    loader: { '.lua': 'text', '.sql': 'text' },
    plugins: [
      {
        name: 'workspace-sources',
        setup(setup) {
          // Names of this workspace are its sources; everything else is installed.
          setup.onResolve({ filter: /^[^./]/ }, ({ path, kind }) => {
            if (kind === 'entry-point') return undefined;
            const source = paths[path]?.[0];
            return source === undefined
              ? { path, external: true }
              : { path: fileURLToPath(new URL(source, root)) };
          });
        },
      },
    ],
    logLevel: 'error',
  });
  return outfile;
}

/** Removes what `bundleService` has made. */
export async function removeBundle(file: string): Promise<void> {
  await rm(file, { force: true });
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
