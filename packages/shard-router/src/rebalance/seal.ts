/** The seal of a plan: SHA-256 over everything else in it, in a form that does not depend on the order of members. */

import { createHash, timingSafeEqual } from 'node:crypto';
import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { RebalancePlan } from './plan.js';

/** Closes a plan. */
export function sealPlan(plan: Omit<RebalancePlan, 'seal'>): RebalancePlan {
  return { ...plan, seal: sealOf(plan) };
}

/** @throws ShardlineError `PLAN_INVALID` if anything in the plan is not as it was sealed. */
export function checkSeal(plan: RebalancePlan): void {
  if (plan.format !== 1) {
    throw new ShardlineError(
      routerErrors.PLAN_INVALID,
      `The plan is of format ${plan.format}; this version knows format 1.`,
    );
  }
  const { seal, ...content } = plan;
  const expected = Buffer.from(sealOf(content));
  const found = Buffer.from(String(seal));
  if (found.length === expected.length && timingSafeEqual(found, expected)) return;
  throw new ShardlineError(
    routerErrors.PLAN_INVALID,
    `Plan '${plan.id}' does not fit its seal: it was changed after it had been made.`,
    { details: { plan: plan.id } },
  );
}

function sealOf(content: Omit<RebalancePlan, 'seal'>): string {
  return createHash('sha256').update(canonicalJson(content)).digest('hex');
}

/** JSON with the members of every object in the order of their names, and members without a value left out. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}
