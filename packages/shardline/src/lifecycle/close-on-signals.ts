import type { DataLayer } from '../data-layer.js';
import type { CloseOptions } from './close-options.js';
import type { CloseReport } from './close-report.js';

/** How a process ends. */
export interface SignalOptions extends CloseOptions {
  /** @default ['SIGTERM', 'SIGINT'] */
  readonly signals?: readonly NodeJS.Signals[];
  /** Told how it went, before the process ends. */
  readonly onClosed?: (report: CloseReport) => void;
  /** Whether the process is ended: with 0 after a clean close, else with 1. @default true */
  readonly exit?: boolean;
}

/**
 * Closes a layer in order when the process is told to end. A second signal ends the process at once.
 *
 * @returns what takes the handlers off again.
 *
 * @example
 * ```ts
 * import { createServer } from 'node:http';
 * import { closeOnSignals, type DataLayer } from 'shardline';
 *
 * declare const layer: DataLayer;
 * const server = createServer((_request, response) => response.end('hello'));
 * closeOnSignals(layer, { servers: [server], readinessDelay: '5s', deadline: '25s' });
 * ```
 */
export function closeOnSignals(
  layer: Pick<DataLayer, 'close'>,
  options: SignalOptions = {},
): () => void {
  const { signals = ['SIGTERM', 'SIGINT'], onClosed, exit = true, ...closing } = options;
  let isClosing = false;
  const onSignal = () => {
    if (isClosing) {
      if (exit) process.exit(1);
      return;
    }
    isClosing = true;
    void layer.close(closing).then((report) => {
      onClosed?.(report);
      if (exit) process.exit(report.clean ? 0 : 1);
    });
  };
  for (const signal of signals) process.on(signal, onSignal);
  return () => {
    for (const signal of signals) process.off(signal, onSignal);
  };
}
