import { describe, expect, it } from 'vitest';
import { coveredSlots, ownerOf, parseClusterNodes, slotMapText } from './cluster-nodes.js';
import { slotOf } from './cluster-slot.js';
import { type ClusterView, instability } from './cluster-view.js';

const TEXT = `aaa 127.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-5460 [5461->-bbb]
bbb 127.0.0.1:7002@17002,host master - 0 1426238316232 2 connected 5461-10922 10924
ccc 127.0.0.1:7003@17003 master - 0 1426238318243 3 connected 10923 10925-16383
ddd 127.0.0.1:7004@17004 slave aaa 0 1426238316232 4 connected
eee :0@0 master,fail?,noaddr - 1426238316232 0 5 disconnected
`;

describe('CLUSTER NODES', () => {
  const nodes = parseClusterNodes(TEXT);

  it('is read node by node', () => {
    expect(nodes.map(({ id, port }) => [id, port])).toEqual([
      ['aaa', 7001],
      ['bbb', 7002],
      ['ccc', 7003],
      ['ddd', 7004],
      ['eee', 0],
    ]);
    expect(nodes[1]?.slots).toEqual([
      [5461, 10922],
      [10924, 10924],
    ]);
    expect(nodes[3]).toMatchObject({ isMaster: false, masterId: 'aaa', slots: [] });
    expect([...(nodes[4]?.flags ?? [])]).toEqual(['master', 'fail?', 'noaddr']);
  });

  it('tells the owner of each slot', () => {
    expect([0, 5460, 5461, 10923, 10924, 16383].map((slot) => ownerOf(nodes, slot)?.id)).toEqual([
      'aaa',
      'aaa',
      'bbb',
      'ccc',
      'bbb',
      'ccc',
    ]);
    expect(coveredSlots(nodes)).toBe(16_384);
  });

  it('compares by what it means, not by how it is written', () => {
    const other = parseClusterNodes(
      `ccc 127.0.0.1:7003@17003 master - 0 0 3 connected 10925-16383 10923
bbb 127.0.0.1:7002@17002 myself,master - 0 0 2 connected 10924 5461-10922
aaa 127.0.0.1:7001@17001 master - 0 0 1 connected 0-5460`,
    );
    expect(slotMapText(other)).toBe(slotMapText(nodes));
  });
});

describe('the slot of a key', () => {
  // The specification's own vector: CRC16 of "123456789" is 0x31C3.
  it('is the specified checksum', () => {
    expect(slotOf('123456789')).toBe(0x31c3);
  });

  it.each([
    ['{user1000}.following', 'user1000'],
    ['foo{{bar}}zap', '{bar'],
    ['foo{bar}{zap}', 'bar'],
  ])('is that of the tag: %s', (key, tag) => {
    expect(slotOf(key)).toBe(slotOf(tag));
  });

  it.each(['foo{}{bar}', 'foo{bar', '}foo{', ''])('is that of the whole key: %s', (key) => {
    expect(slotOf(key)).toBe(slotOf(Buffer.from(key)));
    expect(slotOf(key)).not.toBe(slotOf('bar'));
  });
});

describe('stability of a cluster', () => {
  const healthy = `aaa 127.0.0.1:7001@17001 master - 0 0 1 connected 0-8191
bbb 127.0.0.1:7002@17002 master - 0 0 2 connected 8192-16383
ccc 127.0.0.1:7003@17003 slave aaa 0 0 1 connected`;

  function views(change: Partial<Record<number, Partial<ClusterView>>> = {}): ClusterView[] {
    return [7001, 7002, 7003].map((port) => ({
      port,
      nodes: parseClusterNodes(healthy),
      state: 'ok',
      onlineReplicas: port === 7001 ? 1 : 0,
      isLinkUp: true,
      ...change[port],
    }));
  }

  it('is there when all agree', () => {
    expect(instability(views())).toBeUndefined();
  });

  it('does not need a replica that is down', () => {
    const without = views({ 7001: { onlineReplicas: 0 } }).filter(({ port }) => port !== 7003);
    expect(instability(without)).toBeUndefined();
  });

  it.each<[string, ClusterView[], RegExp]>([
    ['nobody answers', [], /no node runs/],
    ['a node reports failure', views({ 7002: { state: 'fail' } }), /7002 reports/],
    ['an owner does not run', views().filter(({ port }) => port !== 7002), /owned by 7002/],
    ['a replica does not stream', views({ 7003: { isLinkUp: false } }), /7003 does not stream/],
    ['a master misses its replica', views({ 7001: { onlineReplicas: 0 } }), /0 of 1 replicas/],
    [
      'one node suspects another',
      views({
        7001: {
          nodes: parseClusterNodes(healthy.replace('master - 0 0 2', 'master,fail? - 0 0 2')),
        },
      }),
      /7001 sees 7002 as fail\?/,
    ],
    [
      'one node does not know another',
      views({ 7002: { nodes: parseClusterNodes(healthy.split('\n').slice(0, 2).join('\n')) } }),
      /7002 does not know 7003/,
    ],
    [
      'a slot has no owner',
      views({
        7001: { nodes: parseClusterNodes(healthy.replace('8192-16383', '8193-16383')) },
      }),
      /without an owner/,
    ],
    [
      'two nodes disagree',
      views({
        7003: {
          nodes: parseClusterNodes(
            healthy.replace('0-8191', '0-8190').replace('8192-16383', '8191-16383'),
          ),
        },
      }),
      /disagree about the slots/,
    ],
    [
      'one node has not heard that another is a replica',
      views({ 7002: { nodes: parseClusterNodes(healthy.replace('slave aaa', 'master -')) } }),
      /disagree about who follows whom/,
    ],
  ])('is not there while %s', (_, seen, reason) => {
    expect(instability(seen)).toMatch(reason);
  });
});
