import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import autocannon from 'autocannon';
import { seededRandom, zipfSampler } from './zipf.js';

/** What the load saw, as its clients saw it. */
export interface LoadResult {
  readonly requests: number;
  readonly ok: number;
  readonly limited: number;
  readonly failed: number;
  /** Bets that were acknowledged with 201. */
  readonly betsPlaced: number;
  readonly durationMs: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

/** What to ask for. */
export interface LoadOptions {
  /** The service's processes; each gets an equal share of the connections. */
  readonly urls: readonly string[];
  readonly users: number;
  readonly requests: number;
  /** Share of requests that read a profile; the rest place a bet. */
  readonly readShare: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly onProgress?: (done: number) => void;
}

const CONNECTIONS = 32;
const MICROSECONDS_PER_MS = 1000;

/** Sends requests over keep-alive connections and waits for all their answers. */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const random = seededRandom(options.seed);
  const nextRank = zipfSampler(options.users, 0.99, random);
  const latency = createHistogram();
  const counts = { ok: 0, limited: 0, failed: 0, betsPlaced: 0 };
  const started = performance.now();
  const errors = await Promise.all(options.urls.map(sendShare));
  options.signal.throwIfAborted();
  return {
    requests: options.requests,
    ...counts,
    failed: counts.failed + errors.reduce((sum, each) => sum + each, 0),
    durationMs: performance.now() - started,
    ...percentiles(latency),
  };

  /** One process's share of the requests; how many of them got no answer. */
  function sendShare(url: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const instance = autocannon(
        {
          url,
          connections: CONNECTIONS / options.urls.length,
          amount: options.requests / options.urls.length,
          timeout: 10,
          requests: [{ setupRequest: nextRequest }],
        },
        (error, result) => (error === null ? resolve(result.errors) : reject(error)),
      );
      options.signal.addEventListener('abort', () => instance.stop(), { once: true });
      instance.on('response', (_client, statusCode, _bytes, responseTimeMs) => {
        latency.record(Math.max(1, Math.round(responseTimeMs * MICROSECONDS_PER_MS)));
        count(statusCode);
      });
    });
  }

  function count(statusCode: number): void {
    if (statusCode === 429) counts.limited += 1;
    else if (statusCode >= 200 && statusCode < 300) counts.ok += 1;
    else counts.failed += 1;
    if (statusCode === 201) counts.betsPlaced += 1;
    options.onProgress?.(counts.ok + counts.limited + counts.failed);
  }

  function nextRequest(request: autocannon.Request): autocannon.Request {
    const userId = 1 + nextRank();
    return random() < options.readShare
      ? { ...request, method: 'GET', path: `/users/${userId}` }
      : placeBet(request, userId, random);
  }
}

function placeBet(request: autocannon.Request, userId: number, random: () => number) {
  return {
    ...request,
    method: 'POST' as const,
    path: `/users/${userId}/bets`,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      eventId: 1 + Math.floor(random() * 100),
      stake: 1 + Math.floor(random() * 50),
    }),
  };
}

function percentiles(latency: RecordableHistogram) {
  const at = (percentile: number) => latency.percentile(percentile) / MICROSECONDS_PER_MS;
  return { p50Ms: at(50), p95Ms: at(95), p99Ms: at(99) };
}
