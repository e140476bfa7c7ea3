import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { Curve, Row, Scenario } from './scenario.js';

/**
 * A scenario runs in a process of its own, as benchmarks of the JVM do (JMH's forks), for three reasons. What V8 has
 * learned from another scenario's calls, and the garbage that one left, are no part of this one's figures: run alone and
 * run among all, it shows the same. A process that dies takes only its own scenario with it. And what a scenario forgot to
 * close is gone before the next one begins.
 */
export type Report =
  | { readonly kind: 'note'; readonly text: string }
  | { readonly kind: 'curve'; readonly curve: Curve }
  /** A failure that no scenario has waited for; the scenario goes on. */
  | { readonly kind: 'stray'; readonly failure: Failure }
  /** The end: either of the two. */
  | { readonly kind: 'rows'; readonly rows: readonly Row[] }
  | { readonly kind: 'failure'; readonly failure: Failure };

/** What went wrong in another process: in a line, and with everything that was known there. */
export interface Failure {
  readonly message: string;
  readonly details: string;
}

/** Who is told of what the scenario says before its end. */
export interface ReportListener {
  readonly onNote: (text: string) => void;
  readonly onCurve: (curve: Curve) => void;
  readonly onStray: (failure: Failure) => void;
}

/** A scenario that failed in its process. */
export class ScenarioFailedError extends Error {
  constructor(readonly failure: Failure) {
    super(failure.message);
  }
}

/** Runs a scenario by `program`, until its process is gone. @throws ScenarioFailedError */
export async function runInOwnProcess(
  { suite, name }: Scenario,
  { program, quick, signal }: { program: URL; quick: boolean; signal: AbortSignal },
  listener: ReportListener,
): Promise<readonly Row[]> {
  // JSON knows neither NaN nor infinity, which a ratio may be.
  const child = fork(program, [`${suite}/${name}`, ...(quick ? ['--quick'] : [])], {
    serialization: 'advanced',
  });
  // A terminal sends Ctrl-C to both; whoever ends the runner by its id means both, too.
  const interrupt = () => child.kill('SIGTERM');
  signal.addEventListener('abort', interrupt, { once: true });
  let end: Report | undefined;
  child.on('message', (message) => {
    const report = message as Report;
    if (report.kind === 'note') listener.onNote(report.text);
    else if (report.kind === 'curve') listener.onCurve(report.curve);
    else if (report.kind === 'stray') listener.onStray(report.failure);
    else end = report;
  });
  try {
    const [code, killedBy] = (await once(child, 'close')) as [number | null, string | null];
    if (end?.kind === 'rows') return end.rows;
    throw new ScenarioFailedError(
      end?.kind === 'failure' ? end.failure : died(killedBy ?? `exit code ${code}`),
    );
  } finally {
    signal.removeEventListener('abort', interrupt);
  }
}

function died(how: string): Failure {
  const message = `Its process ended before the scenario did (${how}).`;
  return { message, details: message };
}
