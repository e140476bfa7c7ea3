import type { Host } from './host.js';

/**
 * Asks at the terminal. Questions go to standard error, so that standard output stays the answer alone.
 *
 * @returns undefined if the question was left by Ctrl-C or Escape. The prompt takes the keys of the terminal one by one
 * while it asks, so no signal comes.
 */
export async function askYesNo(
  host: Pick<Host, 'input' | 'errors'>,
  message: string,
  signal: AbortSignal,
): Promise<boolean | undefined> {
  const { confirm, isCancel } = await import('@clack/prompts');
  const answer = await confirm({
    message,
    initialValue: false,
    input: host.input,
    output: host.errors,
    signal,
  });
  return isCancel(answer) ? undefined : answer;
}
