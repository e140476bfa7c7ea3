import { defineConfig } from 'tsup';

export default defineConfig({
  entry: { 'service-main': 'src/service-main.ts', 'demo/main': 'src/demo/main.ts' },
  format: ['esm'],
  clean: true,
  sourcemap: true,
  target: 'node20',
  platform: 'node',
  loader: { '.sql': 'text' },
});
