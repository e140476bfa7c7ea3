import type { Command } from 'commander';
import { addSettings, type Bind, examples } from '../bind.js';
import { type ResolvedSettings, SETTINGS } from '../config/settings.js';
import type { Style } from '../output/style.js';
import { renderTable } from '../output/table.js';
import type { LoadedConfiguration } from '../session.js';

/** `shardline config print`. */
export function addConfig(program: Command, bind: Bind): void {
  const config = program.command('config').description('What holds, and who said so.');
  addSettings(
    config
      .command('print')
      .description(
        'Every setting by its one rule: --flag > SHARDLINE_* > file > default. Secrets are masked.',
      )
      .option('--origin', 'say of each where it comes from'),
    'moves',
  )
    .addHelpText(
      'after',
      examples('config print --origin', 'config print --rollback-window 2h --json'),
    )
    .action(
      bind(async (session, { origin }: { origin?: boolean }) => {
        const loaded = await session.configuration();
        return {
          kind: 'config',
          data: {
            file: loaded.path,
            settings: SETTINGS.map(({ name }) => loaded.settings[name]).map((setting) => ({
              ...setting,
              value: setting.value ?? null,
            })),
            shards: shardsOf(loaded),
            keyspaces: loaded.config.keyspaces,
          },
          text: (style) =>
            [
              `${style.bold('File')}  ${loaded.path}`,
              settingsTable(loaded.settings, origin === true, style),
              shardsText(loaded, style),
            ].join('\n\n'),
          next: ['shardline doctor'],
        };
      }),
    );
}

function settingsTable(settings: ResolvedSettings, hasOrigin: boolean, style: Style): string {
  return renderTable(
    [{ title: 'Setting' }, { title: 'Value' }, ...(hasOrigin ? [{ title: 'Origin' }] : [])],
    SETTINGS.map(({ name }) => {
      const { value, origin, source } = settings[name];
      const shown = source === 'default' ? style.dim(String(value ?? '–')) : String(value);
      return [name, shown, ...(hasOrigin ? [origin] : [])];
    }),
    style,
  );
}

interface ShownShard {
  readonly name: string;
  readonly services: string;
  readonly replicas: readonly string[];
  readonly administration: string;
  readonly peerAddress: string | null;
  readonly weight: number | null;
}

function shardsOf({ config }: LoadedConfiguration): ShownShard[] {
  return Object.entries(config.shards ?? {}).map(([name, { primary, replicas = [] }]) => {
    const own = config.administration?.shards?.[name];
    return {
      name,
      services: primary,
      replicas,
      administration: own?.primary ?? primary,
      peerAddress: own?.peerAddress ?? null,
      weight: own?.weight ?? null,
    };
  });
}

function shardsText(loaded: LoadedConfiguration, style: Style): string {
  return renderTable(
    [
      { title: 'Shard' },
      { title: 'Services connect to' },
      { title: 'Administration connects to' },
      { title: 'Weight', align: 'right' },
    ],
    shardsOf(loaded).map(({ name, services, administration, weight }) => [
      name,
      services,
      administration,
      weight === null ? '–' : String(weight),
    ]),
    style,
  );
}
