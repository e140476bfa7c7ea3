/** One line of CLUSTER NODES. */
export interface ClusterNode {
  readonly id: string;
  readonly port: number;
  readonly isMaster: boolean;
  /** Of a replica. */
  readonly masterId: string | undefined;
  /** `fail`, `fail?`, `handshake`, `noaddr` and their like. */
  readonly flags: ReadonlySet<string>;
  /** Inclusive at both ends. */
  readonly slots: readonly (readonly [from: number, to: number])[];
}

/** Reads CLUSTER NODES (`id ip:port@bus[,host] flags master ping pong epoch link slot...`). */
export function parseClusterNodes(text: string): ClusterNode[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map(parseNode);
}

/**
 * Which port serves which slots according to one node, in one canonical text, so that the views of
 * two nodes can be compared. Names of slots that are being moved are left out.
 */
export function slotMapText(nodes: readonly ClusterNode[]): string {
  return nodes
    .filter((node) => node.slots.length > 0)
    .flatMap((node) => node.slots.map(([from, to]) => [from, to, node.port] as const))
    .sort((a, b) => a[0] - b[0])
    .map(([from, to, port]) => `${from}-${to}:${port}`)
    .join(' ');
}

/** Who serves a slot according to one node. */
export function ownerOf(nodes: readonly ClusterNode[], slot: number): ClusterNode | undefined {
  return nodes.find((node) => node.slots.some(([from, to]) => from <= slot && slot <= to));
}

/** How many slots are served by someone. */
export function coveredSlots(nodes: readonly ClusterNode[]): number {
  return nodes
    .flatMap((node) => node.slots)
    .reduce((count, [from, to]) => count + to - from + 1, 0);
}

function parseNode(line: string): ClusterNode {
  const [id = '', address = '', flags = '', master = '-', , , , , ...slots] = line.split(' ');
  const flagSet = new Set(flags.split(','));
  return {
    id,
    port: Number(/:(\d+)(?:@|$)/.exec(address)?.[1] ?? 0),
    isMaster: flagSet.has('master'),
    masterId: master === '-' ? undefined : master,
    flags: flagSet,
    slots: slots.flatMap((text) => {
      const range = /^(\d+)(?:-(\d+))?$/.exec(text);
      return range === null ? [] : [[Number(range[1]), Number(range[2] ?? range[1])] as const];
    }),
  };
}
