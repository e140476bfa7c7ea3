import type { Command } from 'commander';
import type { DataLayerConfig } from 'shardline';
import { addSettings, type Bind, examples } from '../bind.js';
import { maskData } from '../config/mask.js';
import { type ResolvedSetting, SETTINGS } from '../config/settings.js';
import type { ShownShard } from '../documents.js';
import type { Style } from '../output/style.js';
import { renderTable } from '../output/table.js';

/** `shardline config print`. */
export function addConfig(program: Command, bind: Bind): void {
  const config = program.command('config').description('What holds, and who said so.');
  const print = addSettings(
    config
      .command('print')
      .description(
        'Every setting by its one rule: --flag > SHARDLINE_* > file > default. Secrets are masked.',
      )
      .option('--origin', 'say of each where it comes from'),
    'moves',
  );
  addSettings(print, 'plans')
    .addHelpText(
      'after',
      examples('config print --origin', 'config print --rollback-window 2h --json'),
    )
    .action(
      bind(async (session, { origin }: { origin?: boolean }) => {
        const { path, config, settings } = await session.configuration();
        // Masked before it is laid out: a table whose cells shrink afterwards stands crooked.
        const shown = maskData(
          SETTINGS.map(({ name }) => ({ ...settings[name], value: settings[name].value ?? null })),
          session.mask,
        ) as ResolvedSetting[];
        const shards = maskData(shardsOf(config), session.mask) as ShownShard[];
        return {
          kind: 'config',
          data: { file: path, settings: shown, shards, keyspaces: config.keyspaces },
          text: (style) =>
            [
              `${style.bold('File')}  ${path}`,
              settingsTable(shown, origin === true, style),
              shardsTable(shards, style),
            ].join('\n\n'),
          next: ['shardline doctor'],
        };
      }),
    );
}

function settingsTable(
  settings: readonly ResolvedSetting[],
  hasOrigin: boolean,
  style: Style,
): string {
  return renderTable(
    [{ title: 'Setting' }, { title: 'Value' }, ...(hasOrigin ? [{ title: 'Origin' }] : [])],
    settings.map(({ name, value, origin, source }) => {
      const shown = source === 'default' ? style.dim(String(value ?? '–')) : String(value);
      return [name, shown, ...(hasOrigin ? [origin] : [])];
    }),
    style,
  );
}

function shardsOf(config: DataLayerConfig): ShownShard[] {
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

function shardsTable(shards: readonly ShownShard[], style: Style): string {
  return renderTable(
    [
      { title: 'Shard' },
      { title: 'Services connect to' },
      { title: 'Administration connects to' },
      { title: 'Weight', align: 'right' },
    ],
    shards.map(({ name, services, administration, weight }) => [
      name,
      services,
      administration,
      weight === null ? '–' : String(weight),
    ]),
    style,
  );
}
