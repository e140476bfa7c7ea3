import { resolve } from 'node:path';
import type {
  PlacementChange,
  PlannedStep,
  RebalancePlan,
  Rebalancer,
} from '@shardline/shard-router/rebalance';
import { type Command, Option } from 'commander';
import type { Answer } from '../answer.js';
import { addSettings, type Bind, examples, refuseWords } from '../bind.js';
import { EXIT } from '../exit-codes.js';
import { planCommandOf } from '../output/next-steps.js';
import { planText } from '../output/plan-text.js';
import { stepsText } from '../output/steps-text.js';
import type { Session } from '../session.js';
import { additionOf, slotsArgument, weightArgument, weightsArgument } from './change-arguments.js';
import { checkConfigured } from './check-configured.js';
import { configuredChanges } from './configured-changes.js';
import { planFileName, writePlan } from './plan-file.js';

interface PlanFlags {
  readonly out?: string;
  readonly check?: boolean;
  readonly dryRun?: boolean;
}

/** `shardline plan`, alone and with the changes that it knows. */
export function addPlan(program: Command, bind: Bind): void {
  const plan = planOptions(
    program
      .command('plan')
      .argument('[change...]', 'one of the commands below')
      .description(
        'What a change would move, sealed for review. Without a change: what brings the map to the weights of the configuration.',
      ),
  )
    .addHelpText(
      'after',
      examples(
        'plan --check                      2 if something would move, 0 if not',
        'plan add users-3 --weight 2',
        'plan weight users-1=1 users-2=3',
        'plan split users-1 --by heat',
      ),
    )
    .action(
      bind((session, words: string[], flags: PlanFlags) => {
        refuseWords(plan, words);
        return planConfigured(session, flags);
      }),
    );
  for (const add of [addAdd, addLeaving, addWeight, addMoveSlots, addSplit]) add(plan, bind);
}

function addAdd(plan: Command, bind: Bind): void {
  planOptions(
    plan
      .command('add')
      .argument('<shard>', 'a shard of the configuration that is not on the map yet')
      .description('A new shard takes its share of every keyspace.')
      .option('--weight <number>', 'its share relative to the others', weightArgument),
  ).action(
    bind(async (session, shard: string, flags: PlanFlags & { weight?: number }) => {
      await checkConfigured(session, [shard]);
      return planOne(session, additionOf(shard, flags.weight), flags);
    }),
  );
}

function addLeaving(plan: Command, bind: Bind): void {
  for (const [kind, description] of [
    ['remove', 'A shard gives all its slots away and is taken off the map.'],
    ['drain', 'A shard gives all its slots away and stays, with weight 0.'],
  ] as const) {
    planOptions(plan.command(kind).argument('<shard>').description(description)).action(
      bind((session, shard: string, flags: PlanFlags) => planOne(session, { kind, shard }, flags)),
    );
  }
}

function addWeight(plan: Command, bind: Bind): void {
  planOptions(
    plan
      .command('weight')
      .argument('<shard=weight...>', 'new weights', weightsArgument)
      .description('Shards get other shares.'),
  ).action(
    bind((session, weights: Readonly<Record<string, number>>, flags: PlanFlags) =>
      planOne(session, { kind: 'reweight', weights }, flags),
    ),
  );
}

function addMoveSlots(plan: Command, bind: Bind): void {
  planOptions(
    plan
      .command('move-slots')
      .argument('<destination>', 'the shard that takes them')
      .argument('<slots>', 'such as 0-511,600', slotsArgument)
      .description('Named slots go to a named shard; weights stay as they are.'),
  ).action(
    bind(async (session, destination: string, slots: string, flags: PlanFlags) => {
      const keyspace = await session.keyspace();
      const { config } = await session.configuration();
      const count = config.keyspaces[keyspace]?.slots ?? DEFAULT_SLOTS;
      const { parseSlots } = await import('@shardline/shard-router');
      return planOne(
        session,
        { kind: 'move-slots', keyspace, slots: parseSlots(slots, count), destination },
        flags,
      );
    }),
  );
}

function addSplit(plan: Command, bind: Bind): void {
  planOptions(
    plan
      .command('split')
      .argument('<shard>', 'the shard that carries too much')
      .description('The fullest slots of a shard go to others, until it carries its fair share.')
      .addOption(
        new Option('--by <measure>', 'what counts')
          .choices(['rows', 'bytes', 'heat'])
          .default('bytes'),
      )
      .option('--to <shard...>', 'who may receive; every other shard if none is named'),
  ).action(
    bind(
      async (
        session,
        shard: string,
        flags: PlanFlags & { by: 'rows' | 'bytes' | 'heat'; to?: string[] },
      ) => {
        const keyspace = await session.keyspace();
        const { by, to } = flags;
        return planOne(
          session,
          { kind: 'split', keyspace, shard, by, ...(to === undefined ? {} : { destinations: to }) },
          flags,
        );
      },
    ),
  );
}

/** As the router has it where the configuration does not say. */
const DEFAULT_SLOTS = 4096;

function planOptions(command: Command): Command {
  command
    .option('-o, --out <file>', 'where to write the plan; shardline-plan-ID.json if not named')
    .option('--check', 'write nothing; exit with 2 if something would move, 0 if nothing')
    .option('--dry-run', 'write nothing; print steps, SQL and locks');
  return addSettings(command, 'plans');
}

function planOne(session: Session, change: PlacementChange, flags: PlanFlags): Promise<Answer> {
  return session.withRebalancer((rebalancer) => answerPlan(session, rebalancer, change, flags, []));
}

/** Without a change: the first of what the configuration wants and the map has not. */
function planConfigured(session: Session, flags: PlanFlags): Promise<Answer> {
  return session.withRebalancer(async (rebalancer) => {
    const { config } = await session.configuration();
    const { shards } = await session.answerTo('Asking for the status', () => rebalancer.status());
    const [first, ...later] = configuredChanges(config, shards);
    return answerPlan(session, rebalancer, first, flags, later);
  });
}

async function answerPlan(
  session: Session,
  rebalancer: Rebalancer,
  change: PlacementChange,
  flags: PlanFlags,
  later: readonly PlacementChange[],
): Promise<Answer> {
  const plan = await session.answerTo('Planning', () => rebalancer.plan(change));
  const afterwards = later.map(planCommandOf);
  if (isNothing(plan)) return nothingAnswer(plan, afterwards);
  const steps = await session.answerTo('Describing the plan', () => rebalancer.describe(plan));
  if (flags.check || flags.dryRun) {
    return changesAnswer(plan, steps, flags, [planCommandOf(change), ...afterwards]);
  }
  const file = flags.out ?? planFileName(plan);
  writePlan(resolve(session.host.folder, file), plan);
  return {
    kind: 'plan',
    data: { plan, file, steps, later: afterwards },
    text: (style) => `${planText(plan, steps, style)}\n\nWritten to ${style.bold(file)}.`,
    next: [`shardline apply ${file} --dry-run`, `shardline apply ${file}`, ...afterwards],
  };
}

/** A shard that is taken off or put on the map changes it even if no slot moves. */
function isNothing({ moves, change }: RebalancePlan): boolean {
  return moves.length === 0 && change.kind !== 'add' && change.kind !== 'remove';
}

function nothingAnswer(plan: RebalancePlan, afterwards: readonly string[]): Answer {
  return {
    kind: 'plan',
    data: { plan, file: null, steps: [], later: afterwards },
    text: () => 'Nothing to do: every slot is where it belongs.',
    next: afterwards.length > 0 ? afterwards : ['shardline status'],
  };
}

function changesAnswer(
  plan: RebalancePlan,
  steps: readonly PlannedStep[],
  { check, dryRun }: PlanFlags,
  next: readonly string[],
): Answer {
  return {
    kind: 'plan',
    data: { plan, file: null, steps, later: next.slice(1) },
    text: (style) =>
      `${planText(plan, steps, style)}${dryRun ? `\n\n${stepsText(steps, style)}` : ''}\n\nNothing was written.`,
    next,
    exitCode: check ? EXIT.attention : EXIT.ok,
  };
}
