import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { type Bind, examples } from '../bind.js';
import { chartOptions, distributionText, type Measure } from '../output/distribution-chart.js';
import { drawSvg } from '../output/draw-svg.js';

interface DistributionFlags {
  readonly by: Measure;
  readonly svg?: string;
}

/** Where a stream does not say how wide it is. */
const DEFAULT_COLUMNS = 80;

/** `shardline distribution`. */
export function addDistribution(program: Command, bind: Bind): void {
  program
    .command('distribution')
    .description(
      'How slots, rows, bytes and use are spread over the shards, and whether moving pays.',
    )
    .addOption(
      new Option('--by <measure>', 'what the chart shows')
        .choices(['slots', 'rows', 'bytes', 'heat'])
        .default('bytes'),
    )
    .option('--svg <file>', 'draw the chart into a file as well; needs the library echarts')
    .addHelpText(
      'after',
      examples(
        'distribution',
        'distribution --by rows --keyspace users',
        'distribution --svg load.svg',
      ),
    )
    .action(
      bind(async (session, { by, svg }: DistributionFlags) => {
        const keyspace = await session.keyspace();
        const analysis = await session.withRebalancer((rebalancer) =>
          session.answerTo('Measuring the shards', () => rebalancer.distribution(keyspace)),
        );
        if (svg !== undefined) {
          const picture = await drawSvg(
            chartOptions(keyspace, analysis, by),
            analysis.shards.length,
          );
          writeFileSync(resolve(session.host.folder, svg), picture);
        }
        const columns = session.host.output.columns ?? DEFAULT_COLUMNS;
        return {
          kind: 'distribution',
          data: { keyspace, ...analysis, svg: svg ?? null },
          text: (style) =>
            `${distributionText(keyspace, analysis, by, columns, style)}${
              svg === undefined ? '' : `\n\nDrawn into ${style.bold(svg)}.`
            }`,
          next: analysis.needsRebalancing
            ? ['shardline plan', `shardline plan split SHARD --by ${by === 'slots' ? 'bytes' : by}`]
            : ['shardline status'],
        };
      }),
    );
}
