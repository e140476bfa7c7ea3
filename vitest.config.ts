import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';
import { configDefaults, defineConfig } from 'vitest/config';
import tsconfig from './tsconfig.json' with { type: 'json' };

/** Tests run on the sources: the same map of names as the type checker's, read from its file. */
const alias = Object.entries(tsconfig.compilerOptions.paths).map(([name, [file]]) => ({
  find: new RegExp(`^${name}$`),
  replacement: fileURLToPath(new URL(file as string, import.meta.url)),
}));

/** Lua and SQL as text, as tsup's loader does it in the build. */
const textModules: Plugin = {
  name: 'text-modules',
  enforce: 'pre',
  load(id) {
    if (!/\.(lua|sql)$/.test(id)) return null;
    return `export default ${JSON.stringify(readFileSync(id, 'utf8'))};`;
  },
};

const isInContainers = process.env['SHARDLINE_BACKEND'] === 'containers';

export default defineConfig({
  plugins: [textModules],
  resolve: { alias },
  test: {
    include: [
      'packages/*/src/**/*.test.ts',
      'test/**/*.test.ts',
      'examples/*/src/**/*.test.ts',
      'benchmarks/src/**/*.test.ts',
    ],
    // What only one backend can show stands in a file of its own, which the other does not run.
    exclude: [
      ...configDefaults.exclude,
      isInContainers ? '**/native-guard.test.ts' : '**/container-backend.test.ts',
    ],
    pool: 'forks',
    // The files of a worker share its modules: to import them anew for each took a quarter of the time. Who needs a module
    // as it is when nobody has used it resets modules, and whoever changes the process (variables, spies) changes it back.
    isolate: false,
    // Two cores are the smallest machine that this must pass on. A third of a file's time is waiting for servers, so
    // one file more than cores is under way; a server set-up is shared by a file's tests.
    maxWorkers: 3,
    // Conditions are waited for, however slow the machine is; a second says nothing on two busy cores.
    expect: { poll: { timeout: 30_000, interval: 20 } },
    // In CI a fault test that failed is run once more, and named if it needed that: it wants mending.
    retry: process.env['CI'] === 'true' ? 1 : 0,
    testTimeout: 60_000,
    hookTimeout: 180_000,
    reporters: ['default', './scripts/count-reporter.ts'],
  },
});
