import type { ProbeResult } from './node-state.js';
import probeText from './probe.sql';
import { parseLsn, settleInsertLsn } from './wal-position.js';

/** The one statement that asks a server everything the monitor wants to know. Its values: `probeValues`. */
export const probeSql: string = probeText;

/** Who a server was when it answered before: its process, and the cluster whose data that holds. */
export type KnownServer = Pick<ProbeResult, 'startedAt' | 'systemIdentifier'>;

/** What goes into the statement's place. */
export function probeValues(known: KnownServer | undefined): (string | null)[] {
  return [known?.startedAt ?? null];
}

/** A row of the probe's answer, as the driver gives it. */
export interface ProbeRow {
  readonly in_recovery: boolean;
  readonly lsn: string | null;
  readonly received_lsn: string | null;
  readonly replay_age_ms: number | null;
  readonly timeline: string | null;
  /** Null: the server is the process that the question named. */
  readonly system_identifier: string | null;
  readonly started_at: string;
  readonly snapshot_xmax: string;
  readonly snapshot_xmin: string;
  readonly segment_bytes: string;
}

/**
 * Reads the probe's answer. The page-boundary trap of positions is settled here.
 *
 * @param known what the question named.
 */
export function readProbe(row: ProbeRow, known?: KnownServer): ProbeResult {
  const systemIdentifier = row.system_identifier ?? known?.systemIdentifier;
  if (systemIdentifier === undefined) throw new Error('A probe was answered for another question.');
  const lsn = parseLsn(row.lsn ?? '') ?? 0n;
  return {
    role: row.in_recovery ? 'replica' : 'primary',
    timeline: Number(row.timeline ?? 0),
    lsn: row.in_recovery ? lsn : settleInsertLsn(lsn, BigInt(row.segment_bytes)),
    receivedLsn: parseLsn(row.received_lsn ?? ''),
    replayAgeMs: row.replay_age_ms === null ? undefined : Number(row.replay_age_ms),
    systemIdentifier,
    startedAt: row.started_at,
    snapshotXmax: BigInt(row.snapshot_xmax),
    snapshotXmin: BigInt(row.snapshot_xmin),
  };
}
