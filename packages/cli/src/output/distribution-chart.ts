/** How slots, rows, bytes and use are spread over shards: bars for the terminal, and the same as a drawing (pure). */

import type { DistributionAnalysis, ShardLoad } from '@shardline/shard-router';
import { plot } from 'simple-ascii-chart';
import type { Style } from './style.js';
import { renderTable } from './table.js';
import { formatBytes, formatCount } from './units.js';

/** What is drawn. */
export type Measure = 'slots' | 'rows' | 'bytes' | 'heat';

/** Room that labels and the frame need beside the bars. */
const MARGIN = 8;
const SMALLEST_WIDTH = 20;
const LARGEST_WIDTH = 80;

/** The chart, the figures and the verdict. */
export function distributionText(
  keyspace: string,
  analysis: DistributionAnalysis,
  measure: Measure,
  columns: number,
  style: Style,
): string {
  return [
    `${style.bold(keyspace)}: ${measure} by shard`,
    barChart(analysis.shards, measure, columns),
    loadTable(analysis, style),
    ...(analysis.hotSlots.length === 0 ? [] : [hotTable(analysis, style)]),
    verdict(analysis, style),
  ].join('\n\n');
}

/** One bar for each shard, from zero on. */
export function barChart(shards: readonly ShardLoad[], measure: Measure, columns: number): string {
  const values = shards.map((load) => load[measure] ?? 0);
  const largest = Math.max(...values, 0);
  if (largest === 0) return `Nothing of ${measure} was measured.`;
  const longest = Math.max(...shards.map(({ shard }) => shard.length));
  const width = Math.min(LARGEST_WIDTH, Math.max(SMALLEST_WIDTH, columns - longest - MARGIN));
  // The library begins its bars at the smallest value; a row at zero below them makes it begin there.
  const points: [number, number][] = [[0, 0]];
  for (const [at, value] of values.entries()) points.push([value, values.length - at]);
  return plot(points, {
    mode: 'horizontalBar',
    width,
    height: points.length,
    customYAxisTicks: shards.map((_, at) => values.length - at),
    customXAxisTicks: [0, largest],
    formatter: (value, { axis }) =>
      axis === 'y' ? (shards[values.length - value]?.shard ?? '') : formatMeasure(value, measure),
  })
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '')
    .join('\n');
}

function loadTable({ shards, skew }: DistributionAnalysis, style: Style): string {
  const right = (title: string) => ({ title, align: 'right' as const });
  return renderTable(
    [
      { title: 'Shard' },
      right('Weight'),
      right('Slots'),
      right('Rows'),
      right('Bytes'),
      right('Calls/s'),
    ],
    [
      ...shards.map(({ shard, weight, slots, rows, bytes, heat }) => [
        shard,
        String(weight),
        formatCount(slots),
        formatCount(rows),
        formatBytes(bytes),
        formatCount(heat),
      ]),
      [
        style.dim('fullest / fair'),
        '',
        formatSkew(skew.slots),
        formatSkew(skew.rows),
        formatSkew(skew.bytes),
        formatSkew(skew.heat),
      ],
    ],
    style,
  );
}

function hotTable({ hotSlots }: DistributionAnalysis, style: Style): string {
  return renderTable(
    [
      { title: 'Hot slot', align: 'right' },
      { title: 'Shard' },
      { title: 'By' },
      { title: 'Times the average', align: 'right' },
    ],
    hotSlots.map(({ slot, shard, by, factor }) => [String(slot), shard, by, factor.toFixed(1)]),
    style,
  );
}

function verdict({ needsRebalancing, reasons }: DistributionAnalysis, style: Style): string {
  const head = needsRebalancing ? style.yellow('Worth rebalancing.') : style.green('Balanced.');
  return [head, ...reasons.map((reason) => `  ${reason}`)].join('\n');
}

function formatSkew(skew: number | undefined): string {
  if (skew === undefined) return '–';
  return Number.isFinite(skew) ? skew.toFixed(2) : '∞';
}

function formatMeasure(value: number, measure: Measure): string {
  return measure === 'bytes' ? formatBytes(value) : formatCount(value);
}

/** What echarts draws as a picture. Shards from top to bottom, as in the terminal. */
export function chartOptions(
  keyspace: string,
  { shards }: DistributionAnalysis,
  measure: Measure,
): Record<string, unknown> {
  return {
    animation: false,
    title: { text: `${keyspace}: ${measure} by shard`, left: 'center' },
    grid: { left: 16, right: 32, bottom: 24, top: 56, containLabel: true },
    xAxis: { type: 'value', name: measure },
    yAxis: { type: 'category', data: shards.map(({ shard }) => shard), inverse: true },
    series: [
      {
        type: 'bar',
        data: shards.map((load) => load[measure] ?? 0),
        label: { show: true, position: 'right' },
      },
    ],
  };
}
