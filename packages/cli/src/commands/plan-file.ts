import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { ShardlineError } from '@shardline/core';
import type { RebalancePlan } from '@shardline/shard-router/rebalance';
import { cliErrors } from '../errors.js';

/** The name of a plan's file, if nobody gives another. */
export function planFileName({ id }: RebalancePlan): string {
  return `shardline-plan-${id.slice(0, 8)}.json`;
}

/** Writes a plan for review and `apply`. A file of another content is not written over. */
export function writePlan(path: string, plan: RebalancePlan): void {
  const text = `${JSON.stringify(plan, undefined, 2)}\n`;
  try {
    writeFileSync(path, text, { flag: 'wx' });
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error;
    if (readFileSync(path, 'utf8') === text) return;
    throw new ShardlineError(cliErrors.CLI_FILE_EXISTS, `${path} is there already.`, {
      remedy: 'Name another file with `--out FILE`, or remove this one.',
    });
  }
}

/**
 * Reads a plan. Its seal is checked by the rebalancer, which made it.
 *
 * @throws ShardlineError `CLI_PLAN_UNREADABLE`.
 */
export function readPlan(folder: string, name: string): RebalancePlan {
  const path = resolve(folder, name);
  if (!existsSync(path)) throw unreadable(`There is no file ${path}.`);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw unreadable(`${path} is no JSON: ${(error as Error).message}.`, error);
  }
  const plan = value as Partial<RebalancePlan> | null;
  if (typeof plan !== 'object' || plan === null || typeof plan.seal !== 'string') {
    throw unreadable(`${path} is no plan: it has no seal.`);
  }
  if (plan.format !== 1) {
    throw unreadable(
      `${path} is a plan of format ${String(plan.format)}; this command knows format 1.`,
    );
  }
  if (
    !Array.isArray(plan.moves) ||
    typeof plan.id !== 'string' ||
    typeof plan.change !== 'object'
  ) {
    throw unreadable(`${path} is no plan: parts of it are missing.`);
  }
  return plan as RebalancePlan;
}

function unreadable(happened: string, cause?: unknown): ShardlineError {
  return new ShardlineError(
    cliErrors.CLI_PLAN_UNREADABLE,
    happened,
    cause === undefined ? {} : { cause },
  );
}
