import type { Row, Scenario, ScenarioContext } from './scenario.js';

/** Runs a scenario in this process; what it has opened is closed when this returns, however it ends. */
export async function runScenario(
  scenario: Scenario,
  context: Omit<ScenarioContext, 'use'>,
): Promise<readonly Row[]> {
  await using resources = new AsyncDisposableStack();
  return await scenario.run({ ...context, use: (resource) => resources.use(resource) });
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
