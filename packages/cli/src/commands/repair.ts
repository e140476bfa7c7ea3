import type { Command } from 'commander';
import { type Bind, examples } from '../bind.js';
import { EXIT } from '../exit-codes.js';
import { repairText } from '../output/repair-text.js';

interface RepairFlags {
  readonly apply?: boolean;
  readonly dryRun?: boolean;
}

/** `shardline repair`. */
export function addRepair(program: Command, bind: Bind): void {
  program
    .command('repair')
    .description('Hold the journal against what the servers really have, and mend what differs.')
    .option('--apply', 'mend it; without this it is only told')
    .option('--dry-run', 'only tell; this is what happens without --apply')
    .addHelpText('after', examples('repair', 'repair --apply'))
    .action(
      bind((session, flags: RepairFlags) =>
        session.withRebalancer(async (rebalancer) => {
          const found = await session.answerTo('Comparing servers and journal', () =>
            rebalancer.repair({ apply: false, signal: session.signal }),
          );
          const isApplied = flags.apply === true && flags.dryRun !== true && found.length > 0;
          if (isApplied) {
            session.note(repairText(found, session.errorStyle));
            await session.confirm({
              action: `Mend ${found.length === 1 ? 'this' : `these ${found.length} things`}`,
              consequence: 'What belongs to no move is removed from the servers.',
            });
          }
          session.resumeWith = 'shardline repair --apply';
          const actions = isApplied
            ? await rebalancer.repair({ apply: true, signal: session.signal })
            : found;
          const isMended = actions.every(({ isDone }) => isDone);
          return {
            kind: 'repair',
            data: { actions, isApplied },
            text: (style) => repairText(actions, style),
            next: isMended ? ['shardline status'] : ['shardline repair --apply'],
            exitCode: isMended ? EXIT.ok : EXIT.attention,
          };
        }),
      ),
    );
}
