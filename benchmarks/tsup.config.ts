import { defineConfig } from 'tsup';

export default defineConfig({
  // Programs that scenarios start besides are named after their scenario.
  entry: {
    main: 'src/main.ts',
    scenario: 'src/scenario-main.ts',
    profile: 'src/profile.ts',
    'cold-key': 'src/suites/cache/cold-key-main.ts',
    processes: 'src/suites/scaling/processes-main.ts',
  },
  format: ['esm'],
  clean: true,
  sourcemap: true,
  target: 'node20',
  platform: 'node',
  loader: { '.sql': 'text', '.lua': 'text' },
});
