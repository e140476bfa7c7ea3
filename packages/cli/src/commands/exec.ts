/** `shardline exec`: a statement of an operator's, on one shard, on all, or merged from all. */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Router, ShardOutcome } from '@shardline/shard-router';
import { type Command, InvalidArgumentError } from 'commander';
import type { Answer } from '../answer.js';
import { type Bind, examples } from '../bind.js';
import { EXIT } from '../exit-codes.js';
import { describeError } from '../output/describe-error.js';
import { explanationText } from '../output/explanation-text.js';
import { rowsText } from '../output/rows-text.js';
import { renderTable } from '../output/table.js';
import { formatCount } from '../output/units.js';
import type { Session } from '../session.js';
import { explain } from './explain.js';

interface ExecFlags {
  readonly key?: string;
  readonly param?: string[];
  readonly everywhere?: boolean;
  readonly only?: string[];
  readonly id?: string;
  readonly transaction: boolean;
  readonly rows: number;
  readonly file?: boolean;
  readonly dryRun?: boolean;
}

/** More rows are for a program to read, with --ndjson. */
const DEFAULT_ROWS = 1000;

/** `shardline exec`. */
export function addExec(program: Command, bind: Bind): void {
  program
    .command('exec')
    .argument('<sql>', 'one statement; with --file, the file that holds it')
    .description(
      'Run a statement: by key on one shard, with --everywhere on all, else merged from all.',
    )
    .option('--key <key>', 'on the shard that owns this key')
    .option('--everywhere', 'on every shard, in a transaction on each: for DDL')
    .option('--only <shard...>', 'with --everywhere: on these alone')
    .option(
      '--id <name>',
      'with --everywhere: note it under a name, so that no shard does it twice',
    )
    .option('--no-transaction', 'with --everywhere: for what PostgreSQL refuses in a transaction')
    .option('--param <value...>', 'values of $1, $2 and so on')
    .option('--file', 'the argument names a file')
    .option('--rows <count>', 'most rows to print', rowsArgument, DEFAULT_ROWS)
    .option('--dry-run', 'explain where it would go; run nothing')
    .addHelpText(
      'after',
      examples(
        "exec 'SELECT * FROM users WHERE user_id = $1' --param 42 --key 42",
        "exec 'SELECT count(*) FROM users'",
        "exec 'ALTER TABLE users ADD COLUMN note text' --everywhere --id users-note",
      ),
    )
    .action(bind((session, sql: string, flags: ExecFlags) => execute(session, sql, flags)));
}

function rowsArgument(text: string): number {
  const rows = Number(text);
  if (!Number.isSafeInteger(rows) || rows < 1) {
    throw new InvalidArgumentError(`'${text}' is no number of rows.`);
  }
  return rows;
}

async function execute(session: Session, argument: string, flags: ExecFlags): Promise<Answer> {
  const sql = flags.file ? readFileSync(resolve(session.host.folder, argument), 'utf8') : argument;
  if (flags.dryRun) return dryRun(session, sql, flags);
  if (flags.everywhere || writes(sql)) {
    await session.confirm({
      action: flags.everywhere ? 'Run it on every shard' : 'Run it',
      consequence: `This statement may change data:\n${sql.trim()}\n`,
    });
  }
  return session.withRouter((router) => {
    if (flags.everywhere) return everywhere(session, router, sql, flags);
    if (flags.key !== undefined) return byKey(session, router, sql, flags.key, flags);
    return scattered(session, router, sql, flags);
  });
}

/** A guess that errs towards asking: what begins so reads, unless a WITH hides a write. */
function writes(sql: string): boolean {
  const text = sql.replace(/--[^\n]*|\/\*[\s\S]*?\*\//g, ' ').trim();
  if (/^(select|values|table|show|explain(?!\s*\(?\s*analyze))\b/i.test(text)) return false;
  return !/^with\b/i.test(text) || /\b(insert|update|delete|merge)\b/i.test(text);
}

async function dryRun(session: Session, sql: string, flags: ExecFlags): Promise<Answer> {
  const explanation = await explain(session, sql, flags);
  const shards = flags.everywhere
    ? (flags.only ?? Object.keys((await session.configuration()).config.shards))
    : explanation.shards.map(({ shard }) => shard);
  return {
    kind: 'dry-run',
    data: { command: 'exec', sql, shards, explanation },
    text: (style) =>
      `${flags.everywhere ? `On every shard: ${shards.join(', ')}.` : explanationText(explanation, style)}\n\n${sql.trim()}\n\nNothing was run.`,
    next: ['shardline exec SQL'],
  };
}

async function byKey(
  session: Session,
  router: Router,
  sql: string,
  key: string,
  { param = [], rows: most }: ExecFlags,
): Promise<Answer> {
  const keyspace = router.keyspace(await session.keyspace());
  const { rows, fields, command, rowCount } = await session.answerTo('The statement', () =>
    keyspace.query(key, sql, param, { signal: session.signal }),
  );
  const { shard, slot } = keyspace.explain(key) as { shard: string; slot: number };
  for (const row of rows) session.event({ kind: 'row', row });
  const shown = rows.slice(0, most);
  return {
    kind: 'exec',
    data: {
      shard,
      slot,
      command,
      rowCount,
      ...(session.format === 'ndjson' ? {} : { rows: shown }),
    },
    text: (style) =>
      rowsText(
        fields.map(({ name }) => name),
        shown,
        `${command} ${rowCount ?? 0} on ${shard}`,
        style,
      ),
    next: [`shardline locate ${key}`],
    isUnmasked: true,
  };
}

async function scattered(
  session: Session,
  router: Router,
  sql: string,
  { param = [], rows: most }: ExecFlags,
): Promise<Answer> {
  const keyspace = router.keyspace(await session.keyspace());
  const rows: Record<string, unknown>[] = [];
  let count = 0;
  for await (const row of keyspace.scatter(sql, param, { signal: session.signal })) {
    count += 1;
    if (session.format === 'ndjson') session.event({ kind: 'row', row });
    else if (count <= most) rows.push(row);
    // Whoever reads lines may have them all; a page of text or one document has an end.
    else break;
  }
  const isCut = session.format !== 'ndjson' && count > most;
  const told = isCut ? most : count;
  return {
    kind: 'exec',
    data: { shard: null, rowCount: told, isCut, ...(session.format === 'ndjson' ? {} : { rows }) },
    text: (style) =>
      rowsText(
        Object.keys(rows[0] ?? {}),
        rows,
        `${formatCount(told)} rows from all shards${isCut ? `, and more; --rows or --ndjson shows them` : ''}`,
        style,
      ),
    next: ['shardline explain SQL'],
    isUnmasked: true,
  };
}

async function everywhere(
  session: Session,
  router: Router,
  sql: string,
  flags: ExecFlags,
): Promise<Answer> {
  const outcomes = await router
    .everywhere(sql, flags.param ?? [], {
      signal: session.signal,
      transaction: flags.transaction,
      ...(flags.only === undefined ? {} : { only: flags.only }),
      ...(flags.id === undefined ? {} : { id: flags.id }),
    })
    .catch((error: unknown) => incompleteOutcomes(error));
  const failed = outcomes.filter(({ status }) => status === 'failed').map(({ shard }) => shard);
  return {
    kind: 'exec',
    data: { outcomes: outcomes.map(outcomeData) },
    text: (style) =>
      renderTable(
        [{ title: 'Shard' }, { title: 'Outcome' }, { title: 'Remarks' }],
        outcomes.map((outcome) => {
          const { shard, status, error } = outcomeData(outcome);
          return [shard, status === 'failed' ? style.red(status) : status, error?.message ?? ''];
        }),
        style,
      ),
    next:
      failed.length === 0
        ? ['shardline doctor']
        : [`shardline exec SQL --everywhere --only ${failed.join(' ')}`],
    exitCode: failed.length === 0 ? EXIT.ok : EXIT.fault,
  };
}

/** Failure on some shards is an answer here: it is told shard by shard. */
function incompleteOutcomes(error: unknown): ShardOutcome[] {
  const { code, details } = error as { code?: unknown; details?: { outcomes?: unknown } };
  if (code === 'EVERYWHERE_INCOMPLETE' && Array.isArray(details?.outcomes)) {
    return details.outcomes as ShardOutcome[];
  }
  throw error;
}

function outcomeData(outcome: ShardOutcome) {
  return {
    shard: outcome.shard,
    status: outcome.status,
    rowCount: outcome.status === 'done' ? outcome.result.rowCount : null,
    error: outcome.status === 'failed' ? describeError(outcome.error) : null,
  };
}
