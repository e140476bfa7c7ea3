import { confirm, isCancel } from '@clack/prompts';
import type { Host } from './host.js';

/** Asks at the terminal. Questions go to standard error, so that standard output stays the answer alone. */
export async function askYesNo(
  host: Pick<Host, 'input' | 'errors'>,
  message: string,
  signal: AbortSignal,
): Promise<boolean> {
  const answer = await confirm({
    message,
    initialValue: false,
    input: host.input,
    output: host.errors,
    signal,
  });
  return !isCancel(answer) && answer;
}
