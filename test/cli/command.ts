/** The built command in a process of its own, as an operator runs it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Where the built command is. */
export const COMMAND = fileURLToPath(new URL('../../packages/cli/dist/main.js', import.meta.url));

/** How a call ended. */
export interface Ended {
  readonly exitCode: number | null;
  readonly output: string;
  readonly errors: string;
}

/** A call that is under way. */
export interface Running {
  readonly process: ChildProcess;
  /** What it has written to standard error so far. */
  errors(): string;
  readonly ended: Promise<Ended>;
}

/** Starts the command in a folder. */
export function startCommand(
  folder: string,
  words: readonly string[],
  environment: Record<string, string> = {},
): Running {
  const child = spawn(process.execPath, [COMMAND, ...words], {
    cwd: folder,
    env: { ...process.env, NO_COLOR: '1', CI: '', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    errors += chunk;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode) => resolve({ exitCode, output, errors }));
  });
  return { process: child, errors: () => errors, ended };
}
