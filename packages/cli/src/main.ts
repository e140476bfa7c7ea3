#!/usr/bin/env node
import { processHost } from './process-host.js';
import { run } from './run.js';

void run(process.argv.slice(2), processHost()).then((exitCode) => {
  process.exitCode = exitCode;
});
