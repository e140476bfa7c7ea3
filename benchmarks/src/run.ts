import { type Failure, type ReportListener, ScenarioFailedError } from './own-process.js';
import type { Curve, Row, Scenario } from './scenario.js';

/** What a run is told as it goes. */
export interface RunListener {
  readonly onStart: (scenario: Scenario, index: number, total: number) => void;
  readonly onNote: (text: string) => void;
  readonly onRows: (rows: readonly Row[]) => void;
  /** The scenario failed, or something in it that it has not waited for. */
  readonly onFailure: (scenario: Scenario, failure: Failure) => void;
  /** After each scenario: all that the run has measured by then. */
  readonly onMeasured: (soFar: Measured) => Promise<void>;
}

export interface Measured {
  readonly rows: readonly Row[];
  readonly curves: readonly Curve[];
  readonly failures: readonly { readonly scenario: string; readonly message: string }[];
}

/** Measures one scenario. @throws ScenarioFailedError */
export type Execute = (scenario: Scenario, listener: ReportListener) => Promise<readonly Row[]>;

/** Runs scenarios one after another. One that fails is reported and does not keep the others from running. */
export async function runScenarios(
  scenarios: readonly Scenario[],
  { execute, signal }: { execute: Execute; signal: AbortSignal },
  listener: RunListener,
): Promise<Measured> {
  const rows: Row[] = [];
  const curves: Curve[] = [];
  const failures: { scenario: string; message: string }[] = [];
  for (const [index, scenario] of scenarios.entries()) {
    if (signal.aborted) break;
    const fail = (failure: Failure) => {
      failures.push({
        scenario: `${scenario.suite}/${scenario.name}`,
        message: failure.message,
      });
      listener.onFailure(scenario, failure);
    };
    listener.onStart(scenario, index, scenarios.length);
    try {
      const seen = await execute(scenario, {
        onNote: listener.onNote,
        onCurve: (curve) => curves.push(curve),
        onStray: fail,
      });
      rows.push(...seen);
      listener.onRows(seen);
    } catch (error) {
      if (!(error instanceof ScenarioFailedError)) throw error;
      fail(error.failure);
    }
    await listener.onMeasured({ rows, curves, failures });
  }
  return { rows, curves, failures };
}
