import type { Reporter, TestCase, TestModule } from 'vitest/node';

/**
 * The last line of `npm test`: `N passed, N failed`, for people and for machines that read it.
 * A file that cannot be loaded and an error outside any test count as failures: nothing that went
 * wrong may be missing from the count.
 */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let passed = 0;
    let failed = unhandledErrors.length;
    let skipped = 0;
    const unsteady: string[] = [];
    for (const module of modules) {
      failed += module.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (test.diagnostic()?.flaky) unsteady.push(`${test.fullName}${whyOf(test)}`);
        if (state === 'passed') passed += 1;
        else if (state === 'failed') failed += 1;
        else skipped += 1;
      }
    }
    const line = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
    // After the other reporters' summary, whatever order they were named in.
    process.once('exit', () => {
      for (const name of unsteady) process.stdout.write(`passed only when run again: ${name}\n`);
      process.stdout.write(`${line}\n`);
    });
  }
}

/** What went wrong at first: nobody else tells, since the test has passed in the end. */
function whyOf(test: TestCase): string {
  const { errors = [] } = test.result();
  return errors.map(({ message, stack }) => `\n    ${stack ?? message}`).join('');
}
