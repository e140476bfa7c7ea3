import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CpuProfile, flameGraph } from './report/flame-graph.js';

/**
 * `npm run profile -- SCENARIO`: runs a scenario, short, under V8's own profiler and draws what it spent its time in.
 * The SVG opens by itself in any browser. Exit code 2 for a command line that makes no sense, else the run's.
 */
const names = process.argv.slice(2);
if (names.length !== 1 || names[0]?.startsWith('-') === true) {
  console.error('Usage: npm run profile -- SCENARIO   (npm run bench -- --list names them)');
  process.exitCode = 2;
} else {
  process.exitCode = await profile(names[0] as string);
}

async function profile(scenario: string): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'shardline-profile-'));
  try {
    const exitCode = await runUnderProfiler(scenario, folder);
    const file = await largestProfile(folder);
    if (file === undefined) return exitCode === 0 ? 1 : exitCode;
    const read = JSON.parse(await readFile(file, 'utf8')) as CpuProfile;
    const target = `${scenario.replaceAll('/', '-')}.flame.svg`;
    await writeFile(target, flameGraph(read, `CPU of ${scenario}`));
    console.log(`\nThe flame graph is in ${target}: open it in a browser.`);
    return exitCode;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function runUnderProfiler(scenario: string, folder: string): Promise<number> {
  const program = fileURLToPath(new URL('./main.js', import.meta.url));
  const child = spawn(
    process.execPath,
    ['--cpu-prof', `--cpu-prof-dir=${folder}`, program, scenario, '--quick'],
    { stdio: 'inherit' },
  );
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

/** Processes that the scenario started write profiles too; the scenario's own is the one that did most. */
async function largestProfile(folder: string): Promise<string | undefined> {
  const sizes = await Promise.all(
    (await readdir(folder)).map(async (name) => {
      const path = join(folder, name);
      return { path, size: (await stat(path)).size };
    }),
  );
  return sizes.sort((a, b) => b.size - a.size)[0]?.path;
}
