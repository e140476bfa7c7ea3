import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A process of a run with what it said so far. */
export class TortureProcess {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  readonly #gone: Promise<number | null>;
  readonly #said = new Set<() => void>();
  #errors = '';

  /** @param onLine told of every line, as it comes. */
  constructor(program: string, plan: unknown, onLine: (line: string) => void = () => {}) {
    this.#child = spawn(process.execPath, [program, JSON.stringify(plan)], {
      // It ends when its standard input does: with the run, however that ends.
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stderr?.on('data', (bytes: Buffer) => {
      this.#errors = `${this.#errors}${bytes}`.slice(-4000);
    });
    const reader = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream });
    reader.on('line', (line) => {
      this.lines.push(line);
      onLine(line);
      for (const heard of this.#said) heard();
    });
    // 'close' and not 'exit': what it said last must have been heard.
    this.#gone = new Promise((resolve) => {
      this.#child.once('close', (code) => {
        resolve(code);
        for (const heard of this.#said) heard();
      });
    });
  }

  get gone(): Promise<number | null> {
    return this.#gone;
  }

  get isGone(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** What it wrote to standard error, for messages. */
  get errors(): string {
    return this.#errors;
  }

  /** Resolves when a line has been said, or the process is gone. */
  async heard(test: (line: string) => boolean): Promise<boolean> {
    while (!this.lines.some(test)) {
      if (this.isGone) return this.lines.some(test);
      await new Promise<void>((resolve) => {
        const done = () => {
          this.#said.delete(done);
          resolve();
        };
        this.#said.add(done);
      });
    }
    return true;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone;
  }
}
