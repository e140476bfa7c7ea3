import { Argument, type Command, type Option } from 'commander';
import { type Bind, examples } from '../bind.js';
import { type CommandTree, completionScript, type Shell } from '../output/completion-script.js';

/** Where each shell looks, for the line that follows the script. */
const INSTALL: Readonly<Record<Shell, string>> = {
  bash: 'shardline completion bash > ~/.local/share/bash-completion/completions/shardline',
  zsh: 'shardline completion zsh > ~/.zfunc/_shardline',
  fish: 'shardline completion fish > ~/.config/fish/completions/shardline.fish',
};

/** `shardline completion`. */
export function addCompletion(program: Command, bind: Bind): void {
  program
    .command('completion')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .description('Print a script that completes commands and options in a shell.')
    .addHelpText(
      'after',
      examples('completion bash > ~/.local/share/bash-completion/completions/shardline'),
    )
    .action(
      bind(async (session, shell: Shell) => {
        const script = completionScript(shell, treeOf(program));
        session.note(`Put it in its place with: ${INSTALL[shell]}`);
        return {
          kind: 'completion',
          data: { shell, script },
          text: () => script,
          // Whatever is printed here would be run by the shell.
          next: [],
        };
      }),
    );
}

function treeOf(command: Command): CommandTree {
  return {
    name: command.name(),
    description: command.description(),
    options: command.options
      .filter(({ hidden }: Option) => !hidden)
      .map(({ long, description }) => ({ flag: long ?? '', description }))
      .filter(({ flag }) => flag !== ''),
    commands: command.commands.map(treeOf),
  };
}
