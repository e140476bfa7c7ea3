import type { Command } from 'commander';
import { addSettings, type Bind, examples } from '../bind.js';
import { type CarryOutFlags, carryOut } from './carry-out.js';
import { readPlan } from './plan-file.js';

/** Options of every verb that carries a plan out. */
export function addCarryOutOptions(command: Command): Command {
  command
    .option('--dry-run', 'print steps, SQL and locks in stable order; change nothing')
    .option('--hold-cutover', 'copy and keep up, and wait before the switch for `release`')
    .option(
      '--leave-open',
      'return when everything has switched; `finish` ends the rollback window',
    );
  return addSettings(command, 'moves');
}

/** `shardline apply`. */
export function addApply(program: Command, bind: Bind): void {
  addCarryOutOptions(
    program
      .command('apply')
      .argument('<plan>', 'file that `plan` wrote')
      .description(
        'Carry a plan out, to the letter. A second call takes up where the first ended.',
      ),
  )
    .addHelpText(
      'after',
      examples(
        'apply plan.json --dry-run',
        'apply plan.json',
        'apply plan.json --yes --leave-open',
      ),
    )
    .action(
      bind(async (session, file: string, flags: CarryOutFlags) => {
        const plan = readPlan(session.host.folder, file);
        const answer = await session.withRebalancer((rebalancer) =>
          carryOut(session, rebalancer, plan, flags),
        );
        return { ...answer, next: answer.next.map((command) => command.replace('PLAN', file)) };
      }),
    );
}
