/** Completion scripts for shells, from the tree of commands (pure). They run nothing, so that a tab is never slow. */

/** A shell that can complete. */
export type Shell = 'bash' | 'zsh' | 'fish';

/** A command as completion sees it. */
export interface CommandTree {
  readonly name: string;
  readonly description: string;
  readonly options: readonly { readonly flag: string; readonly description: string }[];
  readonly commands: readonly CommandTree[];
}

/** The script for a shell. */
export function completionScript(shell: Shell, tree: CommandTree): string {
  switch (shell) {
    case 'bash':
      return bash(tree);
    case 'zsh':
      return `#compdef ${tree.name}\nautoload -U +X bashcompinit && bashcompinit\n${bash(tree)}`;
    case 'fish':
      return fish(tree);
  }
}

/** Every command with the words that lead to it. */
function pathsOf(
  tree: CommandTree,
  path: readonly string[] = [],
): { path: readonly string[]; tree: CommandTree }[] {
  return [
    { path, tree },
    ...tree.commands.flatMap((command) => pathsOf(command, [...path, command.name])),
  ];
}

function bash(tree: CommandTree): string {
  const everywhere = tree.options.map(({ flag }) => flag);
  const cases = pathsOf(tree).map(({ path, tree: at }) => {
    const words = [
      ...at.commands.map(({ name }) => name),
      ...at.options.map(({ flag }) => flag),
      ...(path.length === 0 ? [] : everywhere),
    ];
    return `    '${path.join(' ')}') words='${[...new Set(words)].join(' ')}' ;;`;
  });
  const commands = pathsOf(tree)
    .filter(({ path }) => path.length > 0)
    .map(({ path }) => `'${path.join(' ')}'`);
  return `_${tree.name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} path='' next words='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="\${path:+$path }$word"
    case "$next" in
      ${commands.join('|')}) path=$next ;;
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
# Where no word fits the shell offers files, whose names may hold anything.
complete -o default -F _${tree.name} ${tree.name}
`;
}

function fish(tree: CommandTree): string {
  const lines = pathsOf(tree).flatMap(({ path, tree: at }) => {
    const condition =
      path.length === 0
        ? '__fish_use_subcommand'
        : path.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
    const commands = at.commands.map(
      ({ name, description }) =>
        `complete -c ${tree.name} -n '${condition}' -f -a ${name} -d ${quote(description)}`,
    );
    const options = at.options.map(
      ({ flag, description }) =>
        `complete -c ${tree.name}${path.length === 0 ? '' : ` -n '${condition}'`} -l ${flag.slice(2)} -d ${quote(description)}`,
    );
    return [...commands, ...options];
  });
  return `${lines.join('\n')}\n`;
}

function quote(text: string): string {
  return `'${text.replace(/\\/g, '\\\\').replace(/'/g, "\\'").split('\n')[0]}'`;
}
