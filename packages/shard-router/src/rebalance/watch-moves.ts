import { type Duration, durationMs, type ObservedMetric, Telemetry } from '@shardline/core';
import { VERSION } from '../version.js';
import type { Rebalancer } from './rebalancer.js';
import type { MoveStatus, RebalanceStatus } from './status.js';

/**
 * Moves as metrics. A mover runs for an hour and ends, and it may die in between: whoever wants to be told of a move
 * that stalls has to look from outside. So any process that lives on (a service, a sidecar) asks the
 * catalog now and then and exports what it was told last. An age is taken when the metrics are collected, not when the
 * move was looked at: a watcher which can no longer look does not make a stalled move seem young.
 */

const DEFAULT_INTERVAL: Duration = '10s';

type Labels = Readonly<Record<string, string>>;

/** What a watcher needs of a rebalancer. */
export type MovesSource = Pick<Rebalancer, 'status'>;

/** Exports the state of all moves until it is disposed of. */
export interface MoveWatch extends AsyncDisposable {
  /** Looks now, beside the regular looks. It never throws: a look that failed is counted. */
  look(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Looks at the moves at an interval and exports `shardline.rebalance.*`.
 *
 * @param options.interval time between two looks. @default '10s'
 *
 * @example
 * ```ts
 * import { type Rebalancer, watchMoves } from '@shardline/shard-router/rebalance';
 *
 * declare const rebalancer: Rebalancer; // made by openRebalancer
 *
 * await using watch = watchMoves(rebalancer, { interval: '5s' });
 * ```
 */
export function watchMoves(
  source: MovesSource,
  options: { readonly interval?: Duration } = {},
): MoveWatch {
  const intervalMs = durationMs(options.interval ?? DEFAULT_INTERVAL);
  let seen: RebalanceStatus | undefined;
  let failures = 0;
  let looking: Promise<void> | undefined;

  const telemetry = new Telemetry({
    scope: '@shardline/shard-router',
    version: VERSION,
    observed: [...moveMetrics(() => seen), failureMetric(() => failures)],
  });

  const look = () => {
    telemetry.refresh();
    looking ??= source
      .status()
      .then(
        (status) => {
          seen = status;
        },
        () => {
          failures += 1;
        },
      )
      .finally(() => {
        looking = undefined;
      });
    return looking;
  };

  const timer = setInterval(() => void look(), intervalMs).unref();
  void look();
  const close = async () => {
    clearInterval(timer);
    await looking;
    telemetry.close();
  };
  return { look, close, [Symbol.asyncDispose]: close };
}

function moveMetrics(seen: () => RebalanceStatus | undefined): ObservedMetric[] {
  const each = (
    name: string,
    unit: string,
    description: string,
    value: (move: MoveStatus) => number | undefined,
    labels: (move: MoveStatus) => Labels = labelsOf,
  ): ObservedMetric => ({
    name: `shardline.rebalance.${name}`,
    kind: 'gauge',
    unit,
    description,
    observe: reporting(() =>
      (seen()?.active ?? []).flatMap((move) => {
        const number = value(move);
        return number === undefined ? [] : [[number, labels(move)] as const];
      }),
    ),
  });
  return [
    {
      name: 'shardline.rebalance.active_moves',
      kind: 'gauge',
      unit: '{move}',
      description: 'Moves that are not over.',
      observe: (report) => {
        const last = seen();
        if (last !== undefined) report(last.active.length);
      },
    },
    each(
      'state_age',
      's',
      'Time since the move entered its state; 0 for states that no move is in.',
      // The catalog's clock wrote it, and this machine's may be behind.
      ({ stateSinceMs }) => Math.max(0, (Date.now() - stateSinceMs) / 1000),
      (move) => ({ ...labelsOf(move), 'shardline.move.state': move.state }),
    ),
    each(
      'copied_bytes',
      'By',
      'Bytes copied to the destination.',
      ({ progress }) => progress.copiedBytes,
    ),
    each(
      'total_bytes',
      'By',
      'Bytes to copy, as estimated.',
      ({ progress }) => progress.totalBytes,
    ),
    each(
      'lag_bytes',
      'By',
      'WAL by which the destination is behind.',
      ({ progress }) => progress.lagBytes,
    ),
    each(
      'slot_bytes',
      'By',
      'WAL that the replication slot of the move holds back.',
      ({ slotBytes }) => slotBytes,
    ),
    each('is_unattended', '1', '1 for a move that nobody runs.', ({ holder }) =>
      holder === undefined ? 1 : 0,
    ),
    each('is_paused', '1', '1 for a move that an operator holds.', ({ steering }) =>
      steering.isPaused || steering.isCutOverHeld ? 1 : 0,
    ),
  ];
}

/**
 * Reports readings, and 0 for every series that had one before and has none now. OpenTelemetry's SDK goes on
 * exporting the last value of a series that is no longer reported: a move that ended would stall for ever.
 */
function reporting(read: () => readonly (readonly [number, Labels])[]): ObservedMetric['observe'] {
  const known = new Map<string, Labels>();
  return (report) => {
    const silent = new Map(known);
    for (const [value, labels] of read()) {
      const identity = JSON.stringify(labels);
      known.set(identity, labels);
      silent.delete(identity);
      report(value, labels);
    }
    for (const labels of silent.values()) report(0, labels);
  };
}

function failureMetric(failures: () => number): ObservedMetric {
  return {
    name: 'shardline.rebalance.watch_failures',
    kind: 'counter',
    unit: '{look}',
    description: 'Looks at the moves that failed.',
    observe: (report) => report(failures()),
  };
}

/** Keyspace and shards, never the move's id: a pair of shards has one move at a time, and the pairs are few. */
function labelsOf({ keyspace, source, destination }: MoveStatus): Labels {
  return {
    'shardline.keyspace': keyspace,
    'shardline.move.source': source,
    'shardline.move.destination': destination,
  };
}
