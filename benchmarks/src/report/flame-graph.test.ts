import { expect, test } from 'vitest';
import { type CpuProfile, flameGraph } from './flame-graph.js';

const node = (id: number, functionName: string, children: number[] = [], url = '') => ({
  id,
  callFrame: { functionName, url, lineNumber: 9 },
  children,
});

const profile: CpuProfile = {
  nodes: [
    node(1, '(root)', [2, 4]),
    node(2, 'get<T>', [3], 'file:///home/me/packages/cache/dist/index.js'),
    node(3, 'parse'),
    node(4, '(idle)'),
  ],
  samples: [2, 3, 3, 4],
  timeDeltas: [1000, 2000, 1000, 90_000],
};

test('a box is as wide as its time and what it called; idle time is none', () => {
  const svg = flameGraph(profile, 'a & b');
  expect(svg).toContain('a &amp; b: 0.00 s busy');
  expect(svg).toContain(
    '<title>get&lt;T&gt; packages/cache/dist/index.js:10: 100.0 % (1 ms itself)</title>',
  );
  expect(svg).toContain('<title>parse : 75.0 % (3 ms itself)</title>');
  expect(svg).toContain('width="1050.0"');
  expect(svg).not.toContain('idle');
});

test('a profile without samples is an empty picture', () => {
  expect(flameGraph({ nodes: [node(1, '(root)')], samples: [], timeDeltas: [] }, 't')).toMatch(
    /^<svg [\s\S]*<\/svg>\n$/,
  );
});
