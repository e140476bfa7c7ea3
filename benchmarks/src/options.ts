import { parseArgs } from 'node:util';
import { SUITES, type Suite } from './scenario.js';

/** What the runner was asked for. */
export interface BenchOptions {
  readonly suites: readonly Suite[];
  readonly names: readonly string[];
  readonly quick: boolean;
  readonly jsonFile: string | undefined;
  readonly resultsFolder: string | undefined;
  readonly compareWith: readonly [string, string] | undefined;
  /** Results to reckon a fleet from; undefined for a run. */
  readonly capacityFrom: string | undefined;
  readonly list: boolean;
  readonly help: boolean;
}

/** Where the reference run is. */
export const REFERENCE_RESULTS = 'benchmarks/results/results.json';

export const USAGE = `Usage: npm run bench -- [options] [scenario ...]
       npm run bench -- capacity [results.json]

Measures Shardline against named peers, in turns, on this machine. With 'capacity': how large a fleet 10 thousand
to 10 million users take, reckoned from a run's results (${REFERENCE_RESULTS} if none are named).

  --suite LIST      only these suites, with commas between: ${SUITES.join(', ')}
  --quick           fewer and shorter rounds
  --json FILE       write machine, versions and rows as JSON, too
  --results FOLDER  write a page with charts, too; benchmarks/results is the reference run
  --compare A B     no measuring: show what got worse from one JSON file to another
  --list            name every scenario and the situation it stands for
  --help            this text`;

/** Reads the command line; a fault is a sentence for the user. */
export function readOptions(parameters: readonly string[]): BenchOptions | { fault: string } {
  try {
    const { values, positionals } = parseArgs({
      args: [...parameters],
      allowPositionals: true,
      options: {
        suite: { type: 'string', multiple: true, default: [] },
        quick: { type: 'boolean', default: false },
        json: { type: 'string' },
        results: { type: 'string' },
        compare: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    const wanted = values.suite.flatMap((list) => list.split(','));
    const unknown = wanted.filter((suite) => !SUITES.includes(suite as Suite));
    if (unknown.length > 0) {
      return { fault: `There is no suite '${unknown[0]}'. There are: ${SUITES.join(', ')}.` };
    }
    const isCapacity = positionals[0] === 'capacity';
    const [before, after, ...more] = positionals;
    if (values.compare && (before === undefined || after === undefined || more.length > 0)) {
      return { fault: '--compare takes two JSON files: the earlier run, then the later.' };
    }
    return {
      suites: wanted.length === 0 ? SUITES : (wanted as Suite[]),
      names: values.compare || isCapacity ? [] : positionals,
      capacityFrom: isCapacity ? (after ?? REFERENCE_RESULTS) : undefined,
      quick: values.quick,
      jsonFile: values.json,
      resultsFolder: values.results,
      compareWith: values.compare ? [before as string, after as string] : undefined,
      list: values.list,
      help: values.help,
    };
  } catch (error) {
    return { fault: (error as Error).message };
  }
}
