import { ShardlineError } from '@shardline/core';
import { cliErrors } from '../errors.js';

/** Of the picture, in pixels. */
const WIDTH = 800;
const ROW_HEIGHT = 36;
const FRAME_HEIGHT = 110;

/**
 * Draws a chart as SVG. The library is large and seldom wanted, so it is loaded when asked for.
 *
 * @throws ShardlineError `CLI_LIBRARY_MISSING` if echarts is not installed.
 */
export async function drawSvg(options: Record<string, unknown>, rows: number): Promise<string> {
  const echarts = await import('echarts').catch((cause: unknown) => {
    throw new ShardlineError(
      cliErrors.CLI_LIBRARY_MISSING,
      'A drawing needs the library echarts, which cannot be loaded.',
      { cause, remedy: 'Install it beside the command: `npm install echarts@6`.' },
    );
  });
  const chart = echarts.init(null, null, {
    renderer: 'svg',
    ssr: true,
    width: WIDTH,
    height: FRAME_HEIGHT + rows * ROW_HEIGHT,
  });
  try {
    chart.setOption(options);
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}
