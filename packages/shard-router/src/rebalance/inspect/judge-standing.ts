/** What the shards themselves say of the slots of a move: whether each is prepared, is who it should be, and owns what it should. */

import { formatSlots } from '../../topology/slot-set.js';
import type { Finding } from '../finding.js';
import type { MoveContext, ShardEndpoint } from '../move-context.js';
import type { MoveRole } from '../move-state.js';
import shardStandingSql from '../shard-standing.sql';
import { FindingList } from './judge-server.js';

const UNDEFINED_TABLE = '42P01';
const UNDEFINED_SCHEMA = '3F000';
const CONFLICT_REMEDY =
  'Look at `shardline status`; `shardline repair` brings records and catalog together.';

/** What a shard answers. */
interface Standing {
  readonly shard: string | null;
  readonly owned: readonly number[];
  readonly inTransit: readonly number[];
}

/** What the shards themselves say of the slots. */
export async function standingFindings(context: MoveContext): Promise<Finding[]> {
  const findings = [];
  for (const role of ['source', 'destination'] as const) {
    const endpoint = context[role];
    const found = new FindingList(endpoint.name);
    try {
      const standing = await readStanding(context, endpoint);
      judgeShard(found, context, endpoint, standing);
      if (standing !== undefined) judgeSlots(found, context, role, standing);
    } catch (error) {
      const { code = '' } = error as { code?: string };
      if (![UNDEFINED_TABLE, UNDEFINED_SCHEMA].includes(code)) throw error;
      found.add(
        'blocker',
        'SHARD_NOT_PREPARED',
        context.keyspace.name,
        'The database is no shard yet.',
        {
          remedy: 'Prepare the shard: `shardline shards add` does, and so does `shardline init`.',
        },
      );
    }
    findings.push(...found.findings);
  }
  return findings;
}

async function readStanding(
  { keyspace, slots }: MoveContext,
  { primary }: ShardEndpoint,
): Promise<Standing | undefined> {
  const { rows } = await primary.query<Standing>(shardStandingSql, [keyspace.name, slots]);
  return rows[0];
}

function judgeShard(
  found: FindingList,
  { keyspace }: MoveContext,
  { name }: ShardEndpoint,
  standing: Standing | undefined,
): void {
  if (standing?.shard == null) {
    found.add(
      'blocker',
      'SHARD_NOT_PREPARED',
      keyspace.name,
      'The shard has no record of the keyspace.',
      { remedy: 'Prepare the shard: `shardline shards add` does, and so does `shardline init`.' },
    );
  } else if (standing.shard !== name) {
    found.add(
      'blocker',
      'SHARD_MISMATCH',
      name,
      `The server says that it is shard '${standing.shard}'.`,
      { remedy: 'Correct the addresses: two shards may have been given one.' },
    );
  }
}

function judgeSlots(
  found: FindingList,
  { slots }: MoveContext,
  role: MoveRole,
  { shard, owned, inTransit }: Standing,
): void {
  const isSource = role === 'source';
  const own = new Set(owned);
  const wrong = slots.filter((slot) => own.has(slot) !== isSource);
  if (shard !== null && wrong.length > 0) {
    found.add(
      'blocker',
      isSource ? 'SLOTS_NOT_OWNED' : 'SLOTS_OWNED',
      `slots ${formatSlots(wrong)}`,
      isSource
        ? 'The source does not own them by its own record.'
        : 'The destination owns them already by its own record.',
      { remedy: CONFLICT_REMEDY },
    );
  }
  if (inTransit.length > 0) {
    found.add(
      'blocker',
      'SLOTS_IN_TRANSIT',
      `slots ${formatSlots(inTransit)}`,
      'Another move has them in its hands.',
      { remedy: 'Let it end, or abort it.' },
    );
  }
}
