import { type ChildProcess, fork } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { ReplicaPoolOptions } from '@shardline/pool';
import { bundle } from '../bundle.js';
import type {
  SessionOrder,
  SessionPlan,
  SessionProcessOptions,
  SessionReport,
} from './session-orders.js';
import { noCounts, type WorkloadCounts } from './workload.js';

interface Service {
  readonly child: ChildProcess;
  counts: WorkloadCounts;
  path: string | undefined;
  isReady: boolean;
}

/** Processes that do one workload together, with sessions that travel between them. */
export class SessionProcesses {
  readonly #services: Service[] = [];
  readonly #program: string;
  #turn = 0;

  private constructor(program: string) {
    this.#program = program;
  }

  /** One process for each pool; resolves when all of them know their servers. */
  static async start(pools: readonly ReplicaPoolOptions[]): Promise<SessionProcesses> {
    const program = await bundle(new URL('session-main.ts', import.meta.url));
    const all = new SessionProcesses(program);
    for (const [index, pool] of pools.entries()) all.#fork({ process: `service-${index}`, pool });
    await all.#until(({ isReady }) => isReady);
    return all;
  }

  /** What all processes have done in this workload. */
  get counts(): WorkloadCounts {
    const total = noCounts();
    for (const { counts } of this.#services) {
      total.writes += counts.writes;
      total.reads += counts.reads;
      total.hops += counts.hops;
      total.failures += counts.failures;
      add(total.readsByPort, counts.readsByPort);
      add(total.errors, counts.errors);
    }
    return total;
  }

  async begin(plan: SessionPlan): Promise<void> {
    for (const [index, service] of this.#services.entries()) {
      service.counts = noCounts();
      service.path = undefined;
      order(service, { order: 'begin', plan: { ...plan, seed: plan.seed + 1000 * index } });
    }
  }

  /** Resolves when so many more operations have succeeded. */
  async afterMore(operations: number): Promise<void> {
    const done = () => this.counts.reads + this.counts.writes;
    const target = done() + operations;
    let last = done();
    let movedAtMs = performance.now();
    while (done() < target) {
      if (done() > last) movedAtMs = performance.now();
      last = done();
      if (performance.now() - movedAtMs > 60_000) throw new Error('The workload stands still.');
      await pause(10);
    }
  }

  /** Resolves when each of these servers has answered a few reads: a run that left one out proves nothing of it. */
  async afterReadsFrom(ports: readonly number[], reads: number): Promise<void> {
    const deadline = performance.now() + 120_000;
    while (ports.some((port) => (this.counts.readsByPort[port] ?? 0) < reads)) {
      if (performance.now() > deadline) throw new Error('A server answers no reads.');
      await pause(10);
    }
  }

  /** Ends the workload; resolves to the files of its history. */
  async stop(): Promise<string[]> {
    for (const service of this.#services) order(service, { order: 'stop' });
    await this.#until(({ path }) => path !== undefined);
    return this.#services.map(({ path }) => path as string);
  }

  /** Ends the processes. */
  async end(): Promise<void> {
    for (const service of this.#services) order(service, { order: 'end' });
    const deadline = performance.now() + 10_000;
    for (const { child } of this.#services) {
      while (child.exitCode === null && performance.now() < deadline) await pause(20);
      if (child.exitCode === null) child.kill('SIGKILL');
    }
    await rm(this.#program, { force: true });
  }

  #fork(options: SessionProcessOptions): void {
    const child = fork(this.#program, [JSON.stringify(options)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const service: Service = { child, counts: noCounts(), path: undefined, isReady: false };
    this.#services.push(service);
    child.on('message', (message: SessionReport) => this.#onReport(service, message));
  }

  #onReport(service: Service, message: SessionReport): void {
    switch (message.report) {
      case 'ready':
        service.isReady = true;
        return;
      case 'counts':
        service.counts = message.counts;
        return;
      case 'give':
        this.#passOn(service, message.parcel);
        return;
      case 'stopped':
        service.counts = message.counts;
        service.path = message.path;
        return;
    }
  }

  /** Never back to where it came from. */
  #passOn(from: Service, parcel: Extract<SessionOrder, { order: 'take' }>['parcel']): void {
    const others = this.#services.filter((service) => service !== from);
    this.#turn += 1;
    const to = others[this.#turn % others.length];
    if (to !== undefined) order(to, { order: 'take', parcel });
  }

  async #until(condition: (service: Service) => boolean): Promise<void> {
    const deadline = performance.now() + 120_000;
    while (!this.#services.every(condition)) {
      if (this.#services.some(({ child }) => child.exitCode !== null)) {
        throw new Error('A service process has ended by itself.');
      }
      if (performance.now() > deadline) throw new Error('The service processes are late.');
      await pause(10);
    }
  }
}

function order({ child }: Service, message: SessionOrder): void {
  if (child.connected) child.send(message);
}

function add(total: Record<string, number>, part: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(part)) total[name] = (total[name] ?? 0) + count;
}
