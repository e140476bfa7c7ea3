import type { Command } from 'commander';
import { type Bind, examples } from '../bind.js';
import { routersTable } from '../output/status-text.js';

/** `shardline routers`. */
export function addRouters(program: Command, bind: Bind): void {
  program
    .command('routers')
    .description('Routers that follow the catalog, and which of them a switch would wait for.')
    .addHelpText('after', examples('routers'))
    .action(
      bind((session) =>
        session.withRebalancer(async (rebalancer) => {
          const routers = await session.answerTo('Asking for the routers', () =>
            rebalancer.routers(),
          );
          return {
            kind: 'routers',
            data: { routers },
            text: (style) => routersTable(routers, style),
            next: ['shardline status'],
          };
        }),
      ),
    );
}
