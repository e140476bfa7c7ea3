import { Admission } from './admission.js';
import { makeChange } from './changes.js';
import type { Decision, LimitPart } from './decision.js';
import type { LimiterCore } from './limiter-core.js';

/** A decision on several subjects. */
export interface JointDecision extends Decision {
  /** Whether all were decided in one step; if not, they were reserved one after the other. */
  readonly isAtomic: boolean;
}

/**
 * Decides parts of several subjects: all admit, or nothing stays charged. A caller who gives up while they
 * are reserved one after the other is charged for none of them.
 */
export async function decideTogether(
  core: LimiterCore,
  subject: string,
  parts: readonly LimitPart[],
  stop?: AbortSignal,
): Promise<JointDecision> {
  const groups = groupByPlace(core, parts);
  if (groups.length === 1) {
    return { ...(await admit(core, subject, groups[0] as LimitPart[])), isAtomic: true };
  }
  const reserved: LimitPart[][] = [];
  const decisions: Decision[] = [];
  for (const group of groups) {
    const decision = await admit(core, subject, group);
    decisions.push(decision);
    if (!decision.allowed) {
      await giveBack(core, reserved);
      return { ...decision, limits: decisions.flatMap(({ limits }) => limits), isAtomic: false };
    }
    // The fallback keeps its own account; what it admitted is not Redis' to give back.
    if (decision.degraded === undefined) reserved.push(group);
    if (stop?.aborted) {
      await giveBack(core, reserved);
      throw stop.reason;
    }
  }
  return combine(decisions);
}

function groupByPlace(core: LimiterCore, parts: readonly LimitPart[]): LimitPart[][] {
  const groups: LimitPart[][] = [];
  for (const part of parts) {
    const group = groups.find(([first]) =>
      core.store.liesTogether((first as LimitPart).key, part.key),
    );
    if (group === undefined) groups.push([part]);
    else group.push(part);
  }
  return groups;
}

function admit(core: LimiterCore, subject: string, parts: LimitPart[]): Promise<Decision> {
  return new Promise((resolve) => {
    new Admission(core, subject, 'check', parts, resolve).start();
  });
}

/** A reservation that cannot be given back stays charged: too strict for a moment, never too loose. */
async function giveBack(core: LimiterCore, groups: readonly LimitPart[][]): Promise<void> {
  await Promise.all(
    groups.map((group) => {
      const enforced = group.filter((part) => !part.limit.policy.isShadow);
      return enforced.length === 0
        ? undefined
        : makeChange(core, 'refund', enforced).catch(() => {});
    }),
  );
}

function combine(decisions: readonly Decision[]): JointDecision {
  const tightest = decisions.reduce((a, b) => (b.remaining < a.remaining ? b : a));
  const degraded = decisions.find((decision) => decision.degraded !== undefined);
  return {
    ...tightest,
    ...(degraded === undefined
      ? {}
      : { degraded: degraded.degraded as 'local', source: 'fallback' }),
    limits: decisions.flatMap(({ limits }) => limits),
    shadowDenied: decisions.some(({ shadowDenied }) => shadowDenied),
    isAtomic: false,
  };
}
