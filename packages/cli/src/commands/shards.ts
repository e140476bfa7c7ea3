/** `shardline shards`: the shards there are, and one verb for each change of them, from the plan to its end. */

import type { PlacementChange } from '@shardline/shard-router/rebalance';
import type { Command } from 'commander';
import type { Answer } from '../answer.js';
import { addSettings, type Bind, examples, refuseWords } from '../bind.js';
import { planCommandOf } from '../output/next-steps.js';
import { planText } from '../output/plan-text.js';
import { shardsTable } from '../output/status-text.js';
import type { Session } from '../session.js';
import { addCarryOutOptions } from './apply.js';
import { type CarryOutFlags, carryOut } from './carry-out.js';
import { additionOf, weightArgument, weightsArgument } from './change-arguments.js';
import { checkConfigured } from './check-configured.js';

/** `shardline shards` and its verbs. */
export function addShards(program: Command, bind: Bind): void {
  const shards = program
    .command('shards')
    .argument('[change...]', 'one of the commands below')
    .description(
      'The shards there are; add, remove, reweight or drain one, while everything goes on.',
    )
    .addHelpText(
      'after',
      examples(
        'shards',
        'shards add users-3 --dry-run',
        'shards add users-3 --weight 2',
        'shards weight users-1=1 users-2=3',
        'shards drain users-1',
      ),
    )
    .action(
      bind((session, words: string[]) => {
        refuseWords(shards, words);
        return listShards(session);
      }),
    );
  addChangeOptions(
    shards
      .command('add')
      .argument('<shard>', 'a shard of the configuration that is not on the map yet')
      .description('Prepare a new shard and give it its share of every keyspace.')
      .option('--weight <number>', 'its share relative to the others', weightArgument),
  ).action(
    bind(async (session, shard: string, flags: CarryOutFlags & { weight?: number }) => {
      await checkConfigured(session, [shard]);
      return change(session, additionOf(shard, flags.weight), flags);
    }),
  );
  for (const [kind, description] of [
    ['remove', 'Let a shard give all its slots away and take it off the map.'],
    ['drain', 'Let a shard give all its slots away; it stays, with weight 0.'],
  ] as const) {
    addChangeOptions(shards.command(kind).argument('<shard>').description(description)).action(
      bind((session, shard: string, flags: CarryOutFlags) =>
        change(session, { kind, shard }, flags),
      ),
    );
  }
  addChangeOptions(
    shards
      .command('weight')
      .argument('<shard=weight...>', 'new weights', weightsArgument)
      .description('Give shards other shares.'),
  ).action(
    bind((session, weights: Readonly<Record<string, number>>, flags: CarryOutFlags) =>
      change(session, { kind: 'reweight', weights }, flags),
    ),
  );
}

function listShards(session: Session): Promise<Answer> {
  return session.withRebalancer(async (rebalancer) => {
    const { config } = await session.configuration();
    const { shards, epoch } = await session.answerTo('Asking for the shards', () =>
      rebalancer.status(),
    );
    const waiting = Object.keys(config.shards).filter(
      (name) => !shards.some((shard) => shard.name === name),
    );
    return {
      kind: 'shards',
      data: { epoch, shards, notOnMap: waiting },
      text: (style) =>
        `${shardsTable(shards, style)}${
          waiting.length === 0
            ? ''
            : `\n\nIn the configuration and not on the map yet: ${waiting.join(', ')}.`
        }`,
      next:
        waiting.length === 0
          ? ['shardline distribution', 'shardline plan --check']
          : waiting.map((name) => `shardline shards add ${name}`),
    };
  });
}

function change(session: Session, wanted: PlacementChange, flags: CarryOutFlags): Promise<Answer> {
  return session.withRebalancer(async (rebalancer) => {
    const plan = await session.answerTo('Planning', () => rebalancer.plan(wanted));
    if (!flags.dryRun) session.note(planText(plan, undefined, session.errorStyle));
    const answer = await carryOut(session, rebalancer, plan, flags);
    const again = planCommandOf(wanted).replace('shardline plan', 'shardline shards');
    return {
      ...answer,
      next: answer.next.map((command) => (command.endsWith(' PLAN') ? again : command)),
    };
  });
}

/** Of a verb that makes a plan and carries it out. */
function addChangeOptions(command: Command): Command {
  return addSettings(addCarryOutOptions(command), 'plans');
}
