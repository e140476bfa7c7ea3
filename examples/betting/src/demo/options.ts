import { parseArgs } from 'node:util';

/** What the demo was asked for. */
export interface DemoOptions {
  readonly reportFile: string | undefined;
  readonly keep: boolean;
  readonly quick: boolean;
  readonly help: boolean;
}

export const USAGE = `Usage: npm run demo -- [options]

Starts real servers, loads users, serves HTTP requests under load, adds a shard, kills and freezes servers,
and says of each promise whether it was kept. It takes about three minutes.

  --report FILE   write what happened as JSON, too
  --quick         fewer users, shorter acts: about a minute
  --keep          leave everything running and print the addresses; Ctrl-C ends it
  --help          this text`;

/** Reads the command line; a fault is a sentence for the user. */
export function readOptions(parameters: readonly string[]): DemoOptions | { fault: string } {
  try {
    const { values } = parseArgs({
      args: [...parameters],
      options: {
        report: { type: 'string' },
        keep: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    return { reportFile: values.report, keep: values.keep, quick: values.quick, help: values.help };
  } catch (error) {
    return { fault: (error as Error).message };
  }
}
