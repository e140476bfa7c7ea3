import { type ChildProcess, fork } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type History, readHistory } from '@shardline/testkit/check';
import { build } from 'esbuild';
import tsconfig from '../../tsconfig.json' with { type: 'json' };
import type { AttackOrder, AttackPlan, AttackReport } from './attack-plan.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Packs an attacking process into one file that Node can run. */
async function bundleAttacker(): Promise<string> {
  const outfile = join(root, `node_modules/.cache/shardline/attack-${process.pid}.mjs`);
  const alias = Object.fromEntries(
    Object.entries(tsconfig.compilerOptions.paths).map(([name, [file]]) => [
      name,
      join(root, file as string),
    ]),
  );
  await build({
    entryPoints: [fileURLToPath(new URL('./attack-main.ts', import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    loader: { '.lua': 'text' },
    plugins: [
      {
        name: 'workspace-sources',
        setup(setup) {
          // Names of this workspace are its sources; everything else is installed.
          setup.onResolve({ filter: /^[^./]/ }, ({ path, kind }) => {
            if (kind === 'entry-point') return undefined;
            return alias[path] === undefined ? { path, external: true } : { path: alias[path] };
          });
        },
      },
    ],
    logLevel: 'error',
  });
  return outfile;
}

/** Real processes that attack one limit together. */
export class Attackers implements AsyncDisposable {
  readonly #folder: string;
  readonly #bundle: string;
  readonly #children: ChildProcess[] = [];
  readonly #paths: string[] = [];
  readonly #reports = new Map<ChildProcess, AttackReport[]>();
  /** What all processes together were answered, by kind. */
  readonly answers: Record<string, number> = {};

  private constructor(folder: string, bundle: string) {
    this.#folder = folder;
    this.#bundle = bundle;
  }

  static async start(
    processes: number,
    plan: Omit<AttackPlan, 'historyPath' | 'process' | 'seed'> & { seed: number },
  ): Promise<Attackers> {
    const folder = await mkdtemp(join(tmpdir(), 'shardline-attack-'));
    const attackers = new Attackers(folder, await bundleAttacker());
    for (let index = 0; index < processes; index += 1) attackers.#fork(index, plan);
    await attackers.#all('ready');
    return attackers;
  }

  get pids(): number[] {
    return this.#children.map((child) => child.pid as number);
  }

  order(order: AttackOrder, only?: number): void {
    this.#children.forEach((child, index) => {
      if ((only === undefined || only === index) && child.connected) child.send(order);
    });
  }

  /** What has been decided so far, as the histories stand. */
  async counts(): Promise<{ admitted: number; denied: number }> {
    const counts = { admitted: 0, denied: 0 };
    for (const path of this.#paths) {
      const text = await readFile(path, 'utf8');
      counts.admitted += text.match(/"allowed":true/g)?.length ?? 0;
      counts.denied += text.match(/"allowed":false/g)?.length ?? 0;
    }
    return counts;
  }

  /** Waits for so many further decisions: a slow machine needs longer for them, that is all. */
  async untilMore({ admitted = 0, denied = 0 }: { admitted?: number; denied?: number }) {
    const before = await this.counts();
    const deadline = performance.now() + 60_000;
    for (;;) {
      const now = await this.counts();
      if (now.admitted >= before.admitted + admitted && now.denied >= before.denied + denied)
        return;
      if (performance.now() > deadline) throw new Error('the attackers decided too little in time');
      await pause(50);
    }
  }

  /** SIGKILL: no farewell, nothing returned. */
  async kill(index: number): Promise<void> {
    const child = this.#children[index] as ChildProcess;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** Ends the attack and reads what all processes saw. */
  async finish(): Promise<History> {
    this.order({ order: 'stop' });
    await this.#all('done');
    for (const reports of this.#reports.values()) {
      for (const [kind, count] of Object.entries(reports.at(-1)?.untimed ?? {})) {
        this.answers[kind] = (this.answers[kind] ?? 0) + count;
      }
    }
    return readHistory(this.#paths);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) if (child.exitCode === null) child.kill('SIGKILL');
    await rm(this.#folder, { recursive: true, force: true });
    await rm(this.#bundle, { force: true });
  }

  #fork(index: number, plan: Omit<AttackPlan, 'historyPath' | 'process'>): void {
    const name = `attacker-${index}`;
    const historyPath = join(this.#folder, `${name}.jsonl`);
    const full: AttackPlan = { ...plan, seed: plan.seed + index, historyPath, process: name };
    const child = fork(this.#bundle, [JSON.stringify(full)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const reports: AttackReport[] = [];
    child.on('message', (message) => reports.push(message as AttackReport));
    this.#children.push(child);
    this.#paths.push(historyPath);
    this.#reports.set(child, reports);
  }

  async #all(report: AttackReport['report']): Promise<void> {
    const deadline = performance.now() + 60_000;
    for (const [child, reports] of this.#reports) {
      while (!reports.some((each) => each.report === report)) {
        const failure = reports.find((each) => each.report === 'failed');
        if (failure !== undefined) throw new Error(`an attacker failed: ${failure.message}`);
        if (child.signalCode === 'SIGKILL') break;
        if (child.exitCode !== null && child.exitCode !== 0)
          throw new Error(`an attacker ended with ${child.exitCode}`);
        if (performance.now() > deadline) throw new Error(`no attacker said '${report}' in time`);
        await pause(10);
      }
    }
  }
}
