import * as echarts from 'echarts';
import type { Curve, Row } from '../scenario.js';
import { marginOf, type TargetResult } from './results.js';

const WIDTH = 900;
const TEXT = { fontFamily: 'system-ui, sans-serif', color: '#333' };
const MET = '#2f7d4f';
const SHORT = '#c2452d';

/** How far each line of the targets is from its target, on one scale: left of 1 keeps it. */
export function targetsChart(rows: readonly TargetResult[]): string {
  const measured = rows.filter(({ measurements }) => measurements.length > 0).reverse();
  const bars = measured.map(({ measurements, met }) => {
    const margin = Math.max(...measurements.map(finiteMargin));
    return { value: margin, itemStyle: { color: met === true ? MET : SHORT } };
  });
  return render(120 + 26 * measured.length, {
    title: { text: 'Seen as a multiple of the target: 1 just keeps it, less is better' },
    grid: { left: 330, right: 60, top: 50, bottom: 40 },
    xAxis: { type: 'log', min: 0.01 },
    yAxis: { type: 'category', data: measured.map(({ suite, name }) => `${suite}: ${cut(name)}`) },
    series: [
      {
        type: 'bar',
        data: bars,
        label: {
          show: true,
          position: 'right',
          formatter: ({ value }: { value: unknown }) => Number(value).toPrecision(2),
        },
        markLine: {
          symbol: 'none',
          silent: true,
          label: { show: false },
          lineStyle: { color: '#333' },
          data: [{ xAxis: 1 }],
        },
      },
    ],
  });
}

/** Infinitely far from a target that must be hit exactly: drawn at ten times. */
function finiteMargin(row: Row): number {
  return Math.min(10, Math.max(0.011, marginOf(row)));
}

function cut(name: string): string {
  return name.length > 44 ? `${name.slice(0, 43)}…` : name;
}

/** One curve of the results. */
export function curveChart({ name, x, y, isLogarithmic, lines }: Curve): string {
  return render(420, {
    title: { text: name },
    legend: { bottom: 8 },
    grid: { left: 90, right: 40, top: 60, bottom: 80 },
    xAxis: {
      type: isLogarithmic === true ? 'log' : 'value',
      ...(isLogarithmic === true ? { logBase: 2 } : {}),
      name: x,
      nameLocation: 'middle',
      nameGap: 28,
    },
    yAxis: { type: 'value', name: y, min: 0 },
    series: lines.map((line) => ({
      type: 'line' as const,
      name: line.name,
      data: line.points.map(([at, value]) => [at, value]),
      symbolSize: 7,
    })),
  });
}

function render(height: number, option: echarts.EChartsOption): string {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  try {
    chart.setOption({
      animation: false,
      backgroundColor: '#fff',
      textStyle: TEXT,
      color: ['#2f5d9b', '#c2452d', '#2f7d4f', '#8a5fb0', '#b58a1f', '#5b6770'],
      ...option,
    });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}
