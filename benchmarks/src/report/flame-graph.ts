/** What `node --cpu-prof` writes, as far as it is drawn. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
    };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface Frame {
  readonly name: string;
  readonly place: string;
  /** Time in it and in what it called. */
  total: number;
  self: number;
  readonly children: Frame[];
}

const WIDTH = 1400;
const ROW = 17;
/** Narrower boxes cannot be seen. */
const LEAST_WIDTH = 0.4;
const LETTER = 6.6;

/**
 * A flame graph as one SVG without a script: each box is a function, as wide as the time in it and in what it
 * called; its title says the rest. Idle time is left out.
 */
export function flameGraph(profile: CpuProfile, title: string): string {
  const root = treeOf(profile);
  const boxes: string[] = [];
  let deepest = 0;
  const draw = (frame: Frame, x: number, depth: number) => {
    const width = (frame.total / root.total) * WIDTH;
    if (width < LEAST_WIDTH) return;
    deepest = Math.max(deepest, depth);
    boxes.push(box(frame, { x, depth, width, share: frame.total / root.total }));
    let at = x;
    for (const child of frame.children) {
      draw(child, at, depth + 1);
      at += (child.total / root.total) * WIDTH;
    }
  };
  if (root.total > 0) draw(root, 0, 0);
  const height = 40 + (deepest + 1) * ROW;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="ui-monospace, monospace" font-size="11">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    `<text x="8" y="20" font-size="15">${escapeXml(title)}: ${(root.total / 1e6).toFixed(2)} s busy</text>`,
    ...boxes,
    '</svg>',
    '',
  ].join('\n');
}

function treeOf({ nodes, samples, timeDeltas }: CpuProfile): Frame {
  const selfTimes = new Map<number, number>();
  samples.forEach((id, index) => {
    selfTimes.set(id, (selfTimes.get(id) ?? 0) + Math.max(0, timeDeltas[index] ?? 0));
  });
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const build = (id: number): Frame => {
    const node = byId.get(id);
    const { functionName = '', url = '', lineNumber = 0 } = node?.callFrame ?? {};
    const isIdle = functionName === '(idle)';
    const children = (node?.children ?? []).map(build).filter(({ total }) => total > 0);
    children.sort((a, b) => b.total - a.total);
    const self = isIdle ? 0 : (selfTimes.get(id) ?? 0);
    return {
      name: functionName === '' ? '(anonymous)' : functionName,
      place:
        url === ''
          ? ''
          : `${url.replace(/^.*\/(?=node_modules\/|packages\/|benchmarks\/)/, '')}:${lineNumber + 1}`,
      self,
      total: children.reduce((sum, { total }) => sum + total, self),
      children,
    };
  };
  return build(nodes[0]?.id ?? 0);
}

function box(frame: Frame, at: { x: number; depth: number; width: number; share: number }): string {
  const y = 32 + at.depth * ROW;
  const letters = Math.floor((at.width - 4) / LETTER);
  const text =
    letters < 3
      ? ''
      : `<text x="${(at.x + 3).toFixed(1)}" y="${y + 12}">${escapeXml(frame.name.slice(0, letters))}</text>`;
  const percent = (100 * at.share).toFixed(1);
  const title = `${frame.name} ${frame.place}: ${percent} % (${(frame.self / 1000).toFixed(0)} ms itself)`;
  return `<g><title>${escapeXml(title)}</title><rect x="${at.x.toFixed(1)}" y="${y}" width="${at.width.toFixed(1)}" height="${ROW - 1}" fill="${colourOf(frame)}"/>${text}</g>`;
}

/** Ours stand out from the libraries, these from the engine. */
function colourOf({ place, name }: Frame): string {
  if (name === '(garbage collector)') return '#c9a0dc';
  if (place.startsWith('packages/') || place.startsWith('benchmarks/')) return '#f2a154';
  return place.startsWith('node_modules/') ? '#f6d27a' : '#d9dde1';
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
