/**
 * `npm run check`: everything about the code that a reader cannot see at a glance. Each step is one
 * well-kept tool; all of them run even if one fails, so that one run tells everything.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

const publicPackages = readdirSync('packages')
  .map((folder) => `packages/${folder}`)
  .filter((folder) => existsSync(`${folder}/package.json`))
  .filter((folder) => JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')).private !== true);

const steps = [
  ['types', ['tsc', '-p', 'tsconfig.json', '--noEmit']],
  ['lint and format', ['biome', 'ci', '--colors=off', '--error-on-warnings', '.']],
  ['unused code and dependencies', ['knip']],
  [
    'import direction and cycles',
    [
      'depcruise',
      '--config',
      '.dependency-cruiser.cjs',
      'packages',
      'examples',
      'test',
      'benchmarks',
    ],
  ],
  ['examples in TSDoc and Markdown', ['node', 'scripts/check-examples.mjs']],
  ['llms.txt and llms-full.txt', ['node', 'scripts/llms-text.mjs', '--check']],
  ['JSON Schemas of the command', ['node', 'scripts/json-schemas.mjs', '--check']],
  ['a page for every error code', ['node', 'scripts/error-pages.mjs', '--check']],
  ...publicPackages.flatMap((folder) => [
    [`package shape of ${folder} (publint)`, ['publint', '--strict', folder]],
    [
      `types of ${folder} (are the types wrong)`,
      ['attw', '--pack', folder, '--profile', 'node16', '--no-emoji', '--format', 'ascii'],
    ],
  ]),
];

/** Each step is one busy process: as many at a time as there are cores, answers in the order of the list. */
const results = steps.map(() => {
  let resolve;
  const promise = new Promise((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
});
let next = 0;
async function work() {
  while (next < steps.length) {
    const at = next;
    next += 1;
    const started = Date.now();
    const { exitCode, output } = await run(steps[at][1]);
    results[at].resolve({ exitCode, output, seconds: (Date.now() - started) / 1000 });
  }
}
for (let worker = 0; worker < Math.min(availableParallelism(), 4); worker += 1) void work();

let failures = 0;
for (const [at, [title]] of steps.entries()) {
  const { exitCode, output, seconds } = await results[at].promise;
  console.log(`${exitCode === 0 ? '✓' : '✗'} ${title} (${seconds.toFixed(1)} s)`);
  if (exitCode !== 0) {
    failures += 1;
    console.log(output.trimEnd().replace(/^/gm, '    '));
  }
}
if (failures > 0) console.log(`\n${failures} of ${steps.length} checks failed.`);
process.exitCode = failures > 0 ? 1 : 0;

function run([program, ...parameters]) {
  return new Promise((resolve) => {
    const command = program === 'node' ? process.execPath : `node_modules/.bin/${program}`;
    const child = spawn(command, parameters, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
    });
    let output = '';
    const collect = (chunk) => {
      output += chunk;
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.once('error', (error) => resolve({ exitCode: 1, output: error.message }));
    child.once('close', (exitCode) => resolve({ exitCode, output }));
  });
}
