import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { BettingServers } from '../servers.js';

/** A running process of the betting service. */
export interface ServiceProcess {
  readonly url: string;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;

/** Starts several processes of the service, as they would run behind a balancer. */
export async function startServices(
  servers: BettingServers,
  count: number,
): Promise<ServiceProcess[]> {
  const starts = await Promise.allSettled(
    Array.from({ length: count }, () => startService(servers)),
  );
  const started = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
  const failed = starts.find((start) => start.status === 'rejected');
  if (failed === undefined) return started;
  await Promise.all(started.map((service) => service.stop()));
  throw failed.reason;
}

async function startService(servers: BettingServers): Promise<ServiceProcess> {
  const child = fork(fileURLToPath(new URL('../service-main.js', import.meta.url)), {
    env: { ...process.env, BETTING_SERVERS: JSON.stringify(servers), PORT: '0' },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    // A Ctrl-C at the terminal is the demo's to handle: the service ends when the demo says so.
    detached: true,
  });
  const port = await untilListening(child);
  return { url: `http://127.0.0.1:${port}`, stop: () => stop(child) };
}

async function untilListening(child: ChildProcess): Promise<number> {
  let complaint = '';
  child.stderr?.on('data', (chunk) => {
    complaint = `${complaint}${chunk}`.slice(-4000);
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS);
  try {
    const first = await Promise.race([
      once(child, 'message').then(([message]) => message as { port: number }),
      once(child, 'exit').then(() => undefined),
    ]);
    if (first === undefined) throw new Error(`The service did not start: ${complaint.trim()}`);
    return first.port;
  } finally {
    clearTimeout(timer);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await exited;
  clearTimeout(timer);
}
