import { defineConfig } from 'tsup';
import { library } from '../../tsup.base.js';

const doors = { index: 'src/index.ts', check: 'src/check/index.ts' };

export default defineConfig(
  library(
    { ...doors, guard: 'src/server/guard-main.mjs' },
    // The guard is a program that is started, not imported: it has no types. Shims, since finding
    // it and the npm package of PostgreSQL needs the place of this file in CommonJS too.
    { dts: { entry: doors }, shims: true },
  ),
);
