import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What a program says of its version; undefined if it cannot even say that. */
export async function programVersion(
  program: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<string | undefined> {
  try {
    const { stdout } = await run(program, ['--version'], {
      timeout: 10_000,
      env: { ...process.env, ...environment },
    });
    return /\d+(\.\d+)+|\d+/.exec(stdout)?.[0];
  } catch {
    return undefined; // A wrapper without its program, a missing library, another architecture.
  }
}
