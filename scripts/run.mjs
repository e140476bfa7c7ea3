#!/usr/bin/env node
/**
 * The commands of this repository, from a fresh clone on: makes sure that Node fits, packages are
 * installed and built, then runs what was asked for. It uses nothing but Node itself, since it is what
 * installs everything else, and it repeats no step whose inputs have not changed.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const MINIMUM_NODE = [20, 19];

/** What each command runs once everything is installed and built. */
const commands = {
  build: { title: 'Built.' },
  test: { run: ['node', 'node_modules/vitest/vitest.mjs', 'run'] },
  'test:containers': {
    run: ['node', 'node_modules/vitest/vitest.mjs', 'run', 'packages/testkit'],
    environment: { SHARDLINE_BACKEND: 'containers' },
  },
  // One file after the other: each wants the machine for itself.
  torture: {
    run: [
      'node',
      'node_modules/vitest/vitest.mjs',
      'run',
      '--no-file-parallelism',
      'test/rebalance',
      'test/sessions',
      'packages/pool/src/node/crossed-replies.test.ts',
    ],
    environment: { SHARDLINE_TORTURE: '1' },
  },
  check: { run: ['node', 'scripts/check.mjs'] },
  'docs:llms': { run: ['node', 'scripts/llms-text.mjs'] },
  'docs:schemas': { run: ['node', 'scripts/json-schemas.mjs'] },
  'docs:errors': { run: ['node', 'scripts/error-pages.mjs'] },
  bench: { run: ['node', 'benchmarks/dist/main.js'] },
  profile: { run: ['node', 'benchmarks/dist/profile.js'] },
  demo: { run: ['node', 'examples/betting/dist/demo/main.js'] },
};

const [name, ...rest] = process.argv.slice(2);

try {
  checkNode();
  const command = commands[name];
  if (command === undefined) {
    fail(`There is no command '${name}'. There are: ${Object.keys(commands).join(', ')}.`);
  }
  await install();
  await build();
  if (command.run !== undefined) {
    process.exitCode = await execute([...command.run, ...rest], command.environment);
  } else say(command.title);
} catch (error) {
  console.error(`\n✗ ${error.message}`);
  process.exitCode = error.exitCode ?? 1;
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [wantedMajor, wantedMinor] = MINIMUM_NODE;
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return;
  fail(
    `Node ${process.versions.node} is too old: Shardline needs ${MINIMUM_NODE.join('.')} or later. Install it from https://nodejs.org and run the same command again.`,
  );
}

async function install() {
  const stamp = join(root, 'node_modules', '.shardline-install');
  const wanted = fingerprint(['package.json', 'package-lock.json', ...workspaceManifests()]);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  say('Installing packages with npm (once; about a minute) …');
  const isFresh = !existsSync(join(root, 'node_modules'));
  const exitCode = await execute(
    ['npm', isFresh ? 'ci' : 'install', '--no-audit', '--no-fund', '--loglevel=error'],
    { npm_config_loglevel: 'error' },
  );
  if (exitCode !== 0) {
    fail('npm could not install the packages; its own message above says why.', exitCode);
  }
  mkdirSync(dirname(stamp), { recursive: true });
  // npm may have tidied the lock file up: the stamp is of what stands there now.
  writeFileSync(stamp, fingerprint(['package.json', 'package-lock.json', ...workspaceManifests()]));
}

async function build() {
  const started = Date.now();
  const exitCode = await execute(
    ['node', 'node_modules/turbo/bin/turbo', 'run', 'build', '--output-logs=errors-only'],
    { TURBO_TELEMETRY_DISABLED: '1', TURBO_NO_UPDATE_NOTIFIER: '1', DO_NOT_TRACK: '1' },
    { quiet: true },
  );
  if (exitCode !== 0) fail('The build failed; the compiler says above where.', exitCode);
  const seconds = (Date.now() - started) / 1000;
  if (seconds > 3) say(`Built the packages in ${seconds.toFixed(0)} s.`);
}

/** Workspaces are folders by name, or all folders of one: `packages/*`. */
function workspaceManifests() {
  const { workspaces } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return workspaces
    .flatMap((pattern) => {
      if (!pattern.endsWith('/*')) return [pattern];
      const parent = pattern.slice(0, -2);
      const folders = existsSync(join(root, parent)) ? readdirSync(join(root, parent)) : [];
      return folders.map((folder) => `${parent}/${folder}`);
    })
    .map((folder) => `${folder}/package.json`)
    .filter((manifest) => existsSync(join(root, manifest)))
    .sort();
}

function fingerprint(files) {
  const hash = createHash('sha256').update(
    `${process.version} ${process.platform} ${process.arch}`,
  );
  for (const file of files) {
    const path = join(root, file);
    hash.update(file).update(existsSync(path) ? readFileSync(path) : '');
  }
  return hash.digest('hex');
}

/**
 * Runs a program to its end. Ctrl-C reaches it through the terminal's process group; we only wait, so
 * that it can clean up before we are gone.
 */
function execute([program, ...parameters], environment = {}, { quiet = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program === 'node' ? process.execPath : program, parameters, {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: ['inherit', 'pipe', 'pipe'].map((kind) => (quiet ? kind : 'inherit')),
    });
    const output = [];
    child.stdout?.on('data', (chunk) => output.push(chunk));
    child.stderr?.on('data', (chunk) => output.push(chunk));
    const waitForChild = () => {};
    process.on('SIGINT', waitForChild);
    // Sent to us alone, so it has to be passed on.
    const passOn = () => child.kill('SIGTERM');
    process.on('SIGTERM', passOn);
    child.once('error', (error) =>
      reject(new Error(`${program} could not be run: ${error.message}`)),
    );
    child.once('close', (code, signal) => {
      process.off('SIGINT', waitForChild);
      process.off('SIGTERM', passOn);
      if (quiet && code !== 0) process.stderr.write(Buffer.concat(output));
      resolve(code ?? 128 + (constants.signals[signal] ?? 0));
    });
  });
}

function say(text) {
  console.log(`» ${text}`);
}

function fail(message, exitCode = 1) {
  throw Object.assign(new Error(message), { exitCode });
}
