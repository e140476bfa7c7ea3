#!/usr/bin/env node
import { restoreTerminal } from './output/restore-terminal.js';
import { processHost } from './process-host.js';
import { run } from './run.js';

void run(process.argv.slice(2), processHost()).then((exitCode) => {
  process.exitCode = exitCode;
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => {
      restoreTerminal(process.stderr);
      process.exit(exitCode);
    });
  }
});
