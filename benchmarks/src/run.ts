import type { Curve, Row, Scenario, ScenarioContext } from './scenario.js';

/** What a run is told as it goes. */
export interface RunListener {
  readonly onStart: (scenario: Scenario, index: number, total: number) => void;
  readonly onNote: (text: string) => void;
  readonly onRows: (rows: readonly Row[]) => void;
  readonly onFailure: (scenario: Scenario, error: unknown) => void;
  /** After each scenario: all that the run has measured by then. */
  readonly onMeasured: (soFar: Measured) => Promise<void>;
}

export interface Measured {
  readonly rows: readonly Row[];
  readonly curves: readonly Curve[];
  readonly failures: readonly { readonly scenario: string; readonly message: string }[];
}

/**
 * Runs scenarios one after another. One that fails is reported and does not keep the others from
 * running; what it had opened is closed before the next begins.
 */
export async function runScenarios(
  scenarios: readonly Scenario[],
  options: { quick: boolean; signal: AbortSignal },
  listener: RunListener,
): Promise<Measured> {
  const rows: Row[] = [];
  const curves: Curve[] = [];
  const failures: { scenario: string; message: string }[] = [];
  for (const [index, scenario] of scenarios.entries()) {
    if (options.signal.aborted) break;
    listener.onStart(scenario, index, scenarios.length);
    try {
      const seen = await runOne(scenario, options, listener, (curve) => curves.push(curve));
      rows.push(...seen);
      listener.onRows(seen);
    } catch (error) {
      failures.push({
        scenario: `${scenario.suite}/${scenario.name}`,
        message: (error as Error).message,
      });
      listener.onFailure(scenario, error);
    }
    await listener.onMeasured({ rows, curves, failures });
  }
  return { rows, curves, failures };
}

async function runOne(
  scenario: Scenario,
  options: { quick: boolean; signal: AbortSignal },
  listener: RunListener,
  draw: ScenarioContext['draw'],
): Promise<readonly Row[]> {
  await using resources = new AsyncDisposableStack();
  const context: ScenarioContext = {
    ...options,
    note: listener.onNote,
    draw,
    use: (resource) => resources.use(resource),
  };
  return await scenario.run(context);
}

/** Node 20 has `Symbol.asyncDispose` and not yet the stack that goes with it. */
class AsyncDisposableStack implements AsyncDisposable {
  readonly #resources: AsyncDisposable[] = [];

  use<T extends AsyncDisposable>(resource: T): T {
    this.#resources.push(resource);
    return resource;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    for (const resource of this.#resources.reverse()) {
      try {
        await resource[Symbol.asyncDispose]();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'Not everything could be closed.');
  }
}
