/**
 * A plan, from its check to the end of its moves: shared by `apply` and the verbs that plan and apply in one.
 */

import { ShardlineError } from '@shardline/core';
import type {
  ApplyOptions,
  MoveStatus,
  PlanCheck,
  RebalancePlan,
  RebalanceReport,
  Rebalancer,
} from '@shardline/shard-router/rebalance';
import type { Answer } from '../answer.js';
import type { Documents } from '../documents.js';
import { cliErrors } from '../errors.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { countFindings, findingsText } from '../output/findings-text.js';
import { hasSwitched, isOver } from '../output/move-line.js';
import { movesTable } from '../output/moves-table.js';
import { nextForMoves, planCommandOf } from '../output/next-steps.js';
import { describeChange } from '../output/plan-text.js';
import { stepsText } from '../output/steps-text.js';
import { plural } from '../output/units.js';
import type { Session } from '../session.js';

/** What the verbs that run moves take. */
export interface CarryOutFlags {
  readonly dryRun?: boolean;
  readonly holdCutover?: boolean;
  readonly leaveOpen?: boolean;
}

/** Checks a plan, asks, and carries it out. */
export async function carryOut(
  session: Session,
  rebalancer: Rebalancer,
  plan: RebalancePlan,
  flags: CarryOutFlags,
): Promise<Answer> {
  if (flags.dryRun) return dryRunOf(session, rebalancer, plan);
  if (plan.change.kind === 'add') await prepare(session, rebalancer, plan.change.shard);
  const check = await session.answerTo('Checking the plan', () => rebalancer.check(plan));
  if (check.outcome !== 'applicable') return refusalOf(plan, check);
  if (check.findings.length > 0) session.note(findingsText(check.findings, session.errorStyle));
  await session.confirm({
    action: `Move ${plural(plan.moves.length, 'group')} of slots now`,
    consequence: `${sentence(describeChange(plan.change))} Until the end of the rollback window it can be undone, after it not.`,
  });
  session.resumeWith = 'shardline resume';
  return runMoves(session, (options) => rebalancer.apply(plan, options), flags);
}

/** Runs moves under the eyes of whoever asked for it. */
export async function runMoves(
  session: Session,
  work: (options: ApplyOptions) => Promise<RebalanceReport>,
  flags: CarryOutFlags,
): Promise<Answer> {
  const view = session.progressView();
  let report: RebalanceReport;
  try {
    report = await work({
      signal: session.signal,
      onProgress: (move) => view.update(move),
      // Left unsaid it stays as the journal has it: who resumes does not lift what somebody asked for.
      ...(flags.holdCutover === true ? { holdCutOver: true } : {}),
      leaveOpen: flags.leaveOpen === true,
    });
  } finally {
    view.close();
  }
  if (session.isInterrupted && report.moves.some((move) => !isOver(move)))
    throw interrupted(session);
  return reportAnswer(report);
}

/** A plan that must not be applied, with the reasons. */
export function refusalOf(
  plan: RebalancePlan,
  check: Exclude<PlanCheck, { outcome: 'applicable' }>,
): Answer {
  const again = planCommandOf(plan.change);
  switch (check.outcome) {
    case 'nothing-to-do':
      return {
        kind: 'apply',
        data: { outcome: check.outcome, planId: plan.id, moves: [] },
        text: () => 'Nothing to do: the slots are where the plan wants them.',
        next: ['shardline status'],
      };
    case 'stale':
      return {
        kind: 'apply',
        data: { ...check, planId: plan.id },
        text: (style) =>
          `${style.red('Stale.')} The plan was made for epoch ${check.planEpoch}; the catalog is at epoch ${check.epoch}. Nothing was changed.`,
        next: [again],
        exitCode: EXIT.attention,
      };
    case 'blocked':
      return {
        kind: 'apply',
        data: { ...check, planId: plan.id },
        text: (style) =>
          `${findingsText(check.findings, style)}\n\n${style.red('Blocked')}: ${countFindings(check.findings)}. Nothing was moved.`,
        next: ['shardline doctor', again],
        exitCode: EXIT.attention,
      };
  }
}

/** What became of moves. */
export function reportAnswer(report: RebalanceReport): Answer {
  const { moves, planId, epoch } = report;
  return {
    kind: 'apply',
    data: { outcome: outcomeOf(moves), planId, epoch, moves },
    text: (style) => `${movesTable(moves, style)}\n\n${summary(moves, epoch)}`,
    next: nextForMoves(moves),
    exitCode: exitCodeOf(moves),
  };
}

function outcomeOf(moves: readonly MoveStatus[]): Documents['apply']['outcome'] {
  if (moves.length === 0) return 'nothing-to-do';
  if (moves.every(({ state }) => state === 'done')) return 'done';
  return moves.every(hasSwitched) ? 'switched' : 'incomplete';
}

function exitCodeOf(moves: readonly MoveStatus[]): ExitCode {
  if (moves.every(hasSwitched)) return EXIT.ok;
  // A move that was given up by somebody else is over, and is not where the plan wanted it.
  return moves.some((move) => isOver(move) && !hasSwitched(move)) ? EXIT.fault : EXIT.attention;
}

function summary(moves: readonly MoveStatus[], epoch: number): string {
  if (moves.length === 0) return `Nothing to do. Epoch ${epoch}.`;
  const switched = moves.filter(hasSwitched).length;
  return `${switched} of ${plural(moves.length, 'move')} switched. Epoch ${epoch}.`;
}

async function dryRunOf(
  session: Session,
  rebalancer: Rebalancer,
  plan: RebalancePlan,
): Promise<Answer> {
  const steps = await session.answerTo('Describing the plan', () => rebalancer.describe(plan));
  return {
    kind: 'dry-run',
    data: { command: 'apply', planId: plan.id, steps },
    text: (style) => `${stepsText(steps, style)}\n\nNothing was changed.`,
    next: ['shardline apply PLAN'],
  };
}

async function prepare(session: Session, rebalancer: Rebalancer, shard: string): Promise<void> {
  session.note(`Giving shard '${shard}' its schema, guards and reference tables.`);
  await rebalancer.prepareShard(shard, { signal: session.signal });
  const { config } = await session.configuration();
  await session.answerTo(`Preparing shard '${shard}'`, () =>
    session.host.prepareLayerShard(config, shard),
  );
}

function interrupted(session: Session): ShardlineError {
  return new ShardlineError(cliErrors.CLI_INTERRUPTED, 'Stopped by Ctrl-C, at a safe point.', {
    remedy: `Take it up again with \`${session.resumeWith ?? 'shardline resume'}\`.`,
  });
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
