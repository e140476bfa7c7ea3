import type { ScenarioContext } from '../scenario.js';

/** Servers of the testkit keep no process alive, and between two connections nothing else does. */
export function stayAlive(use: ScenarioContext['use']): void {
  const timer = setInterval(() => {}, 60_000);
  use({
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
    },
  });
}
