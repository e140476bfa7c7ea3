import { describe, expect, test } from 'vitest';
import { COPYING, DONE } from '../test-host/hand-made-rebalancer.js';
import { completionScript } from './completion-script.js';
import { describeError } from './describe-error.js';
import { barChart, chartOptions } from './distribution-chart.js';
import { drawSvg } from './draw-svg.js';
import { fitLine } from './fit-line.js';
import { copiedShare, moveLine, whyWaiting } from './move-line.js';
import { nextForMove } from './next-steps.js';
import { ProgressLines } from './progress-view.js';
import { RateMeter } from './rate-meter.js';
import { createStyle, plainStyle } from './style.js';
import { renderTable } from './table.js';
import { toJson } from './to-json.js';
import { formatBytes, formatPercent, formatSpan } from './units.js';

describe('figures', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [99_949, '99.9 kB'],
    [999_499, '999 kB'],
    [999_500, '1.0 MB'],
    [1_234_567_890, '1.2 GB'],
    [undefined, '–'],
  ])('%s bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  test.each([
    [999, 1000, '99 %'],
    [1000, 1000, '100 %'],
    [1640, 1000, '100 %'],
    [0, 0, '–'],
  ])('%s of %s are %s, never more than all', (done, total, text) => {
    expect(formatPercent(done, total)).toBe(text);
  });

  test.each([
    [0, '0 ms'],
    [850, '850 ms'],
    [59_999, '1m'],
    [80_000, '1m 20s'],
    [7_500_000, '2h 5m'],
    [86_400_000, '1d'],
  ])('%s ms are %s', (milliseconds, text) => expect(formatSpan(milliseconds)).toBe(text));
});

describe('a line of a move', () => {
  test('says where, how far, how fast, how long still and how far behind', () => {
    expect(moveLine(COPYING, 48_000_000, plainStyle)).toBe(
      '0f3a9c1e · users one → three, 5 slots · copying · 43 % of ~1.0 GB · 48.0 MB/s · ~12s left · 4.1 kB behind · slot 1.3 MB',
    );
  });

  test('says why nothing happens', () => {
    const waiting = (over: object) => whyWaiting({ ...COPYING, ...over });
    expect(waiting({})).toBeUndefined();
    expect(waiting({ waitingFor: 'replica r1 lags 12s.' })).toBe('waiting: replica r1 lags 12s');
    expect(waiting({ holder: undefined })).toBe('nobody runs it');
    expect(waiting({ steering: { ...COPYING.steering, isPaused: true }, waitingFor: 'x' })).toBe(
      'paused by an operator',
    );
    expect(whyWaiting({ ...DONE, waitingFor: 'x' })).toBeUndefined();
  });

  test('never shows more than all', () => {
    const progress = { ...COPYING.progress, copiedBytes: 1_640_000_000 };
    expect(copiedShare({ ...COPYING, progress })).toBe(1);
    expect(copiedShare({ ...COPYING, progress: { ...progress, totalBytes: 0 } })).toBeUndefined();
  });
});

describe('the next command', () => {
  test.each([
    [{}, ['shardline status --watch']],
    [{ holder: undefined }, ['shardline resume 0f3a9c1e', 'shardline abort 0f3a9c1e']],
    [
      { state: 'reversing', mayAbort: false, rollbackUntilMs: 1 },
      ['shardline finish 0f3a9c1e', 'shardline rollback 0f3a9c1e'],
    ],
    [
      { state: 'catching_up', steering: { ...COPYING.steering, isCutOverHeld: true } },
      ['shardline release 0f3a9c1e', 'shardline abort 0f3a9c1e'],
    ],
    [{ state: 'aborted' }, ['shardline repair', 'shardline status']],
    [{ state: 'done' }, ['shardline verify']],
  ] as const)('for a move with %j is %j', (over, next) => {
    expect(nextForMove({ ...COPYING, ...over } as never)).toEqual(next);
  });
});

describe('lines of progress', () => {
  const written = () => {
    const lines: string[] = [];
    let atMs = 0;
    const view = new ProgressLines({
      stream: { write: (text: string) => lines.push(text) } as never,
      style: plainStyle,
      format: 'text',
      now: () => atMs,
      mask: (text) => text,
      event: () => {},
    });
    return { lines, view, pass: (milliseconds: number) => (atMs += milliseconds) };
  };

  test('a change is told at once, progress once a second, standing still now and then', () => {
    const { lines, view, pass } = written();
    const copied = (copiedBytes: number) => ({
      ...COPYING,
      progress: { ...COPYING.progress, copiedBytes },
    });
    view.update(copied(1));
    view.update(copied(100_000_000));
    expect(lines).toHaveLength(1);
    pass(1000);
    view.update(copied(200_000_000));
    expect(lines).toHaveLength(2);
    view.update({ ...copied(200_000_000), state: 'catching_up' });
    expect(lines).toHaveLength(3);
    for (let second = 0; second < 29; second += 1) {
      pass(1000);
      view.update({ ...copied(200_000_000), state: 'catching_up' });
    }
    expect(lines).toHaveLength(3);
    pass(1000);
    view.update({ ...copied(200_000_000), state: 'catching_up' });
    expect(lines).toHaveLength(4);
  });

  test('why a move waits is told as soon as it is known', () => {
    const { lines, view } = written();
    view.update(COPYING);
    view.update({ ...COPYING, waitingFor: 'replica r1 lags 12s' });
    expect(lines[1]).toContain('waiting: replica r1 lags 12s');
  });
});

describe('a line at the edge of a terminal', () => {
  const red = createStyle(true).red('abcdef');

  test.each([
    ['abcdef', 6, 'abcdef'],
    ['abcdef', 5, 'abcd…'],
    ['a → b', 4, 'a →…'],
    ['abc', 1, '…'],
    ['abc', 0, ''],
    [red, 6, red],
    [red, 4, `${red.slice(0, red.indexOf('d'))}…\u001b[0m`],
  ])('%j in %i columns is %j', (line, width, cut) => {
    expect(fitLine(line, width)).toBe(cut);
  });
});

describe('a rate', () => {
  test('is known from the second sample on and begins anew when the figure falls', () => {
    const meter = new RateMeter();
    expect(meter.add(0, 0)).toBeUndefined();
    expect(meter.add(1000, 1000)).toBe(1000);
    expect(meter.add(1000, 1100)).toBe(1000);
    expect(meter.add(1000, 2000)).toBe(800);
    expect(meter.add(10, 3000)).toBeUndefined();
  });
});

describe('a distribution', () => {
  const load = (shard: string, slots: number) => ({
    shard,
    weight: 1,
    slots,
    rows: 0,
    bytes: undefined,
    heat: undefined,
  });

  test('has bars from zero on, equal where loads are equal', () => {
    const chart = barChart([load('one', 8), load('two', 8), load('three', 4)], 'slots', 60);
    const bars = chart.split('\n').map((line) => (line.match(/█/g) ?? []).length);
    const [one, two, three] = bars.filter((length) => length > 0) as [number, number, number];
    expect(one).toBe(two);
    expect(three / one).toBeCloseTo(0.5, 1);
    expect(chart).toMatch(/one┤█/);
  });

  test('says so where nothing was measured', () => {
    expect(barChart([load('one', 8)], 'heat', 60)).toBe('Nothing of heat was measured.');
  });

  test('is drawn by echarts', async () => {
    const analysis = { shards: [load('one', 8), load('two', 4)] };
    const svg = await drawSvg(chartOptions('users', analysis as never, 'slots'), 2);
    expect(svg).toMatch(/^<svg[\s\S]*users: slots by shard[\s\S]*<\/svg>$/);
  });
});

describe('documents', () => {
  test('lose nothing: bigints, times, bytes; what JSON cannot say is null', () => {
    expect(
      toJson({ a: 2n ** 63n, b: new Date(0), c: Buffer.from('hi'), d: Number.POSITIVE_INFINITY }),
    ).toBe('{"a":"9223372036854775808","b":"1970-01-01T00:00:00.000Z","c":"\\\\x6869","d":null}');
  });

  test('a table has straight columns, with colours and without', () => {
    const style = createStyle(true);
    const rows = [
      [style.red('a'), '1'],
      ['bbb', '200'],
    ];
    const lines = renderTable([{ title: 'X' }, { title: 'N', align: 'right' }], rows, style)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are made of them
      .replace(/\u001b\[\d+m/g, '')
      .split('\n');
    expect(lines).toEqual(['X      N', 'a      1', 'bbb  200']);
  });

  test('errors of drivers keep their own codes and hints', () => {
    const error = Object.assign(new Error('no such role'), { code: '42704', hint: 'Make it.' });
    expect(describeError(error)).toMatchObject({ code: '42704', remedy: 'Make it.', exitCode: 1 });
    expect(
      describeError(new AggregateError([new Error('refused'), new Error('again')])),
    ).toMatchObject({
      message: 'refused again',
    });
    expect(describeError('broken')).toMatchObject({ code: 'CLI_UNEXPECTED', message: 'broken' });
  });
});

describe('completion', () => {
  const tree = {
    name: 'shardline',
    description: '',
    options: [{ flag: '--json', description: "it's JSON" }],
    commands: [
      {
        name: 'plan',
        description: 'p',
        options: [],
        commands: [{ name: 'add', description: '', options: [], commands: [] }],
      },
    ],
  };

  test('knows commands, those below them, and options', () => {
    expect(completionScript('bash', tree)).toContain("'plan') words='add --json'");
    expect(completionScript('zsh', tree)).toMatch(/^#compdef shardline\n/);
    expect(completionScript('fish', tree)).toContain("-l json -d 'it\\'s JSON'");
  });
});
