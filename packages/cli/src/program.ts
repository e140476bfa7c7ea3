import { Command, Option } from 'commander';
import { addSettings, createBind, type Delivery, examples } from './bind.js';
import { addApply } from './commands/apply.js';
import { addCapacity } from './commands/capacity.js';
import { addCompletion } from './commands/completion.js';
import { addConfig } from './commands/config.js';
import { addDistribution } from './commands/distribution.js';
import { addDoctor } from './commands/doctor.js';
import { addExec } from './commands/exec.js';
import { addExplain } from './commands/explain.js';
import { addInit } from './commands/init.js';
import { addLocate } from './commands/locate.js';
import { addPlan } from './commands/plan.js';
import { addRepair } from './commands/repair.js';
import { addResume } from './commands/resume.js';
import { addRouters } from './commands/routers.js';
import { addShards } from './commands/shards.js';
import { addStatus } from './commands/status.js';
import { addSteering } from './commands/steer.js';
import { addUndo } from './commands/undo.js';
import { addVerify } from './commands/verify.js';
import type { Host } from './host.js';
import { VERSION } from './version.js';

const EXIT_CODES = `
Exit codes:
  0    done, nothing asks for action
  1    a fault, or the command was used wrongly
  2    the answer asks for action: changes, blockers, differences, a wait that ended
  130  ended by Ctrl-C; what was begun can be resumed
`;

/** The command with all its verbs; `commander` calls them when it has parsed the words. */
export function createProgram(host: Host, delivery: Delivery): Command {
  const program = new Command('shardline')
    .description('Plan, apply, watch and undo live rebalancing of PostgreSQL shards.')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'Print the help of a command.')
    .addOption(new Option('--json', 'the same as --format json').implies({ format: 'json' }))
    .addOption(new Option('--ndjson', 'the same as --format ndjson').implies({ format: 'ndjson' }))
    .option('--no-color', 'without colours (NO_COLOR and FORCE_COLOR are respected)')
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError(true)
    .addHelpText('after', EXIT_CODES)
    .addHelpText(
      'after',
      examples(
        'doctor                        everything that would keep a move from working',
        'plan add users-3 --out p.json what would move, sealed for review',
        'apply p.json                  moves it, while everything goes on',
        'status --watch',
        'rollback last                 brings it back, with everything written since',
      ),
    );
  addSettings(program, 'all');
  const bind = createBind(host, delivery);
  for (const add of VERBS) add(program, bind);
  configure(program, host);
  return program;
}

/** In the order in which `--help` shows them: the way of a change, then looking, then the rest. */
const VERBS = [
  addInit,
  addDoctor,
  addShards,
  addPlan,
  addApply,
  addResume,
  addStatus,
  addSteering,
  addUndo,
  addVerify,
  addRepair,
  addDistribution,
  addLocate,
  addExplain,
  addExec,
  addRouters,
  addCapacity,
  addConfig,
  addCompletion,
];

/** Errors are thrown and told by the caller, in the format that was asked for. */
function configure(command: Command, host: Host): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => host.output.write(text),
    writeErr: (text) => host.errors.write(text),
    outputError: () => {},
  });
  for (const child of command.commands) configure(child, host);
}
