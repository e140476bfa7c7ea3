import { announceShards, initialiseBetting, openBettingLayer } from '../layer.js';
import { ACTS } from './acts/index.js';
import { HttpClient } from './http-client.js';
import { Load } from './load.js';
import type { Progress } from './progress.js';
import { type DemoReport, isBroken } from './report.js';
import { loadRows, userCount } from './seed.js';
import { addressesOf, FIRST_SHARDS, startServers } from './servers.js';
import { startServices } from './service-process.js';
import type { DemoSizes } from './sizes.js';
import type { Finding, Stage } from './stage.js';

const SERVICES = 2;
const SEED = 42;

/** What the demo is given. */
export interface DemoContext {
  readonly progress: Progress;
  readonly sizes: DemoSizes;
  /** Leave everything running until the signal fires. */
  readonly keep: boolean;
  readonly signal: AbortSignal;
  /** Told what was seen, before anything that is kept running ends. */
  readonly onReport: (report: DemoReport) => Promise<void>;
}

/** Starts servers and the service, plays the acts, and says what was seen. */
export async function runDemo(context: DemoContext): Promise<DemoReport> {
  const { progress, signal, sizes } = context;
  const started = performance.now();
  const startedAt = new Date().toISOString();
  progress.step(
    'Starting PostgreSQL (three shards with a replica each, a fourth to come), Redis, Memcached',
  );
  await using topology = await startServers(signal);
  const servers = addressesOf(topology);
  for (const [name, url] of Object.entries(topology.urls)) progress.note(`${name}: ${url}`);

  progress.step(
    `Loading ${userCount(sizes).toLocaleString('en')} users, each onto the shard that owns its key`,
  );
  await initialiseBetting({ ...servers, shards: onlyFirst(servers.shards) });
  await announceShards(servers);
  await using layer = await openBettingLayer(servers);
  await loadRows(layer, sizes, (loaded) => {
    signal.throwIfAborted();
    progress.tick(loaded, userCount(sizes), 'users loaded');
  });

  progress.step(`Starting ${SERVICES} processes of the service`);
  const services = await startServices(servers, SERVICES);
  const urls = services.map(({ url }) => url);
  progress.note(urls.join(' and '));
  using client = new HttpClient();
  const load = new Load({
    client,
    urls,
    users: sizes.users,
    callers: sizes.callers,
    seed: SEED,
    signal,
  });
  try {
    load.start();
    const stage: Stage = { progress, signal, sizes, topology, servers, urls, client, load, layer };
    const played = await playActs(stage);
    const report = {
      startedAt,
      tookMs: performance.now() - started,
      ...played,
      kept: !played.findings.some(isBroken),
    };
    await context.onReport(report);
    if (context.keep) await keepRunning(urls, context);
    return report;
  } finally {
    await load.stop();
    await Promise.all(services.map((service) => service.stop()));
  }
}

function onlyFirst<Shards extends Record<string, unknown>>(shards: Shards): Shards {
  const entries = Object.entries(shards).filter(([name]) =>
    (FIRST_SHARDS as readonly string[]).includes(name),
  );
  return Object.fromEntries(entries) as Shards;
}

async function playActs(stage: Stage): Promise<Pick<DemoReport, 'acts' | 'findings'>> {
  const findings: Finding[] = [];
  const acts: { name: string; tookMs: number }[] = [];
  for (const [at, act] of ACTS.entries()) {
    stage.signal.throwIfAborted();
    stage.progress.step(`${at + 1} of ${ACTS.length}: ${act.title}`);
    const started = performance.now();
    const found = await act.run(stage);
    acts.push({ name: act.name, tookMs: performance.now() - started });
    findings.push(...found);
    for (const { of, what, seen, holds } of found) {
      stage.progress.note(`${holds ? '✓' : of === 'target' ? '·' : '✗'} ${of}  ${what}: ${seen}`);
    }
  }
  return { acts, findings };
}

async function keepRunning(
  urls: readonly string[],
  { progress, signal }: DemoContext,
): Promise<void> {
  progress.step('Everything stays up: Ctrl-C ends it');
  for (const url of urls) progress.note(`curl ${url}/users/1`);
  await new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener('abort', resolve, { once: true });
  });
}
