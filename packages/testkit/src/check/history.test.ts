import { describe, expect, it } from 'vitest';
import { parseHistory, selectOperations } from './history.js';
import { MalformedHistoryError } from './malformed-history-error.js';
import { encodeRecord, type InvokeRecord } from './record.js';

const begun = (op: string, atNs = 10, more = '') =>
  `{"type":"invoke","op":"${op}","process":"p","kind":"update","key":"k","atNs":"${atNs}"${more}}\n`;
const ended = (op: string, atNs = 20, more = ',"outcome":"ok"') =>
  `{"type":"return","op":"${op}","atNs":"${atNs}"${more}}\n`;

describe('reading a history', () => {
  it('pairs what began with what ended, the end adding what became known', () => {
    const text = begun('1', 10, ',"value":"v"') + ended('1', 25, ',"outcome":"ok","version":3');
    const { operations } = parseHistory([{ source: 'a', text }]);
    expect(operations).toEqual([
      {
        op: '1',
        process: 'p',
        recorder: 'a',
        kind: 'update',
        key: 'k',
        value: 'v',
        version: 3,
        invokedNs: 10n,
        returnedNs: 25n,
        outcome: 'ok',
      },
    ]);
  });

  it('takes an operation without an end for unknown', () => {
    const { operations } = parseHistory([{ source: 'a', text: begun('1') }]);
    expect(operations[0]).toMatchObject({ outcome: 'info', returnedNs: null });
  });

  it('merges the files of several processes by time and remembers who was seen last when', () => {
    const history = parseHistory([
      { source: 'a', text: begun('a.1', 30) + ended('a.1', 60) },
      { source: 'b', text: Buffer.from(begun('b.1', 20) + ended('b.1', 40)) },
      { source: 'c', text: '{"type":"event","name":"hold","atNs":"5","delayNs":"7"}\n' },
    ]);
    expect(history.operations.map((operation) => operation.op)).toEqual(['b.1', 'a.1']);
    expect(history.events).toEqual([{ recorder: 'c', name: 'hold', atNs: 5n, delayNs: 7n }]);
    expect(Object.fromEntries(history.lastSeenNs)).toEqual({ a: 60n, b: 40n, c: 5n });
    expect(history.tornSources).toEqual([]);
  });

  it('takes a torn last line for not written, wherever it is torn', () => {
    const whole = begun('1') + begun('2');
    for (let length = whole.length - 1; length > begun('1').length; length -= 1) {
      const history = parseHistory([{ source: 'a', text: whole.slice(0, length) }]);
      expect(history.operations).toHaveLength(1);
      expect(history.tornSources).toEqual(['a']);
    }
  });

  it('survives a cut in the middle of a character', () => {
    const bytes = Buffer.from(begun('1') + begun('Zürich'));
    const cut = bytes.subarray(0, bytes.indexOf('ü') + 1);
    expect(parseHistory([{ source: 'a', text: cut }]).operations).toHaveLength(1);
  });

  it('brings every field back as it was written', () => {
    const fields = {
      key: 'k',
      keys: ['a', 'b'],
      slot: 0,
      value: null,
      version: 0,
      rows: [{ key: 'a' }, { key: 'b', version: 2, node: 'n' }],
      count: 4,
      parts: ['x', ''],
      node: 'shard-a',
      epoch: 7,
      routing: 'leased',
      tokenIn: ['t', 'u'],
      tokenOut: 'v',
      serverTimeUs: 1_700_000_000_000_000,
      cost: 3,
      allowed: false,
      level: 9,
      tier: 'L1',
      sqlstate: '23505',
      error: 'X',
      deadlineNs: 2n ** 62n,
      detail: { free: ['form'] },
    } as const;
    const record = { type: 'invoke', op: '1', process: 'p', kind: 'read', atNs: 5n } as const;
    const written: InvokeRecord = { ...record, ...fields };
    const { operations } = parseHistory([{ source: 'a', text: encodeRecord(written) }]);
    const rest = { op: '1', process: 'p', recorder: 'a', kind: 'read', invokedNs: 5n };
    expect(operations).toEqual([{ ...rest, ...fields, outcome: 'info', returnedNs: null }]);
    const single = encodeRecord({ ...record, tokenIn: 't', key: undefined });
    expect(parseHistory([{ source: 'a', text: single }]).operations[0]?.tokenIn).toBe('t');
  });

  it('orders events by time and takes the latest stamp as the last', () => {
    const event = (atNs: number) => `{"type":"event","name":"e","atNs":"${atNs}"}\n`;
    const history = parseHistory([{ source: 'a', text: event(9) + event(3) + event(5) }]);
    expect(history.events.map((each) => each.atNs)).toEqual([3n, 5n, 9n]);
    expect(history.lastSeenNs.get('a')).toBe(9n);
  });

  it('lets an operation end at the stamp at which it began', () => {
    const text = begun('1', 10) + ended('1', 10);
    expect(parseHistory([{ source: 'a', text }]).operations[0]?.outcome).toBe('ok');
  });

  it('keeps nanoseconds exact beyond 2^53', () => {
    const text = begun('1').replace('"10"', '"9007199254740993"');
    expect(parseHistory([{ source: 'a', text }]).operations[0]?.invokedNs).toBe(9007199254740993n);
  });

  it('reads an empty file as a process that did nothing', () => {
    expect(parseHistory([{ source: 'a', text: '' }]).operations).toEqual([]);
  });

  it('selects operations and keeps the rest', () => {
    const history = parseHistory([{ source: 'a', text: begun('1') + begun('2') }]);
    const selected = selectOperations(history, (operation) => operation.op === '2');
    expect(selected.operations.map((operation) => operation.op)).toEqual(['2']);
    expect(selected.lastSeenNs).toBe(history.lastSeenNs);
  });
});

describe('a damaged history is refused', () => {
  const bad: Record<string, [text: string, problem: RegExp]> = {
    'a line torn in the middle': [
      `${begun('1').slice(0, 20)}\n${begun('2')}`,
      /a:1: not a line of JSON/,
    ],
    'an empty line': [`${begun('1')}\n${begun('2')}`, /a:2: not a line/],
    'a line that is no object': ['[1]\n', /not a JSON object/],
    'a line that is null': ['null\n', /not a JSON object/],
    'a record of no known type': ['{"type":"odd"}\n', /unknown record type "odd"/],
    'an operation begun twice': [begun('1') + begun('1'), /a:2: operation 1 was begun before/],
    'an end without a beginning': [ended('1'), /operation 1 ended but was not begun here/],
    'two ends': [begun('1') + ended('1') + ended('1'), /a:3: operation 1 ended before/],
    'an end before the beginning': [begun('1', 30) + ended('1', 20), /ended before it was begun/],
    'an unknown outcome': [
      begun('1') + ended('1', 20, ',"outcome":"good"'),
      /field "outcome".*"good"/,
    ],
    'a missing outcome': [begun('1') + ended('1', 20, ''), /field "outcome".*missing/],
    'a number as a stamp': ['{"type":"event","name":"x","atNs":5}\n', /field "atNs".*5/],
    'a negative stamp': ['{"type":"event","name":"x","atNs":"-5"}\n', /field "atNs"/],
    'an unknown kind': [begun('1').replace('update', 'upsert'), /field "kind".*"upsert"/],
    'a misspelt field': [begun('1', 10, ',"vesrion":1'), /field "vesrion".*is not known/],
    'a field of the wrong type': [begun('1', 10, ',"version":"1"'), /field "version"/],
    'a negative version': [begun('1', 10, ',"version":-1'), /field "version"/],
    'a text where texts are needed': [begun('1', 10, ',"keys":"a"'), /field "keys"/],
    'a text among which one is none': [begun('1', 10, ',"parts":["a",1]'), /field "parts"/],
    'a token that is none': [begun('1', 10, ',"tokenIn":7'), /field "tokenIn"/],
    'an answer that is no boolean': [begun('1', 10, ',"allowed":"yes"'), /field "allowed"/],
    'a value that is a number': [begun('1', 10, ',"value":7'), /field "value"/],
    'a key that is a number': [begun('1', 10, ',"slot":1,"node":7'), /field "node"/],
    'a routing that does not exist': [begun('1', 10, ',"routing":"odd"'), /field "routing"/],
    'a detail that is a list': [begun('1', 10, ',"detail":[]'), /field "detail"/],
    'a stamp with something behind it': [
      begun('1', 10, ',"deadlineNs":"5x"'),
      /field "deadlineNs"/,
    ],
    'a field that belongs to an event': [begun('1', 10, ',"delayNs":"5"'), /field "delayNs"/],
    'rows one of which is none': [begun('1', 10, ',"rows":[{"key":"a"},7]'), /field "rows"/],
    'a row without a key': [begun('1', 10, ',"rows":[{"version":1}]'), /field "rows"/],
    'a row with a field of the wrong type': [
      begun('1', 10, ',"rows":[{"key":"a","version":"1"}]'),
      /field "rows"/,
    ],
    'a long line that is none, of which it shows the beginning': [
      `${'x'.repeat(200)}\n`,
      /not a line of JSON: "x{80}"$/,
    ],
    'rows that are no rows': [begun('1', 10, ',"rows":[{"id":1}]'), /field "rows"/],
    'rows with a stray field': [begun('1', 10, ',"rows":[{"key":"a","x":1}]'), /field "rows"/],
    'a field named after the prototype': [begun('1', 10, ',"toString":1'), /field "toString"/],
    'an operation without a name': [begun(''), /field "op"/],
  };
  it.each(Object.keys(bad))('%s', (name) => {
    const [text, problem] = bad[name] as [string, RegExp];
    expect(() => parseHistory([{ source: 'a', text }])).toThrow(MalformedHistoryError);
    expect(() => parseHistory([{ source: 'a', text }])).toThrow(problem);
  });

  it('bytes that are not UTF-8', () => {
    const text = Buffer.concat([Buffer.from([0xff, 0x0a]), Buffer.from(begun('1'))]);
    expect(() => parseHistory([{ source: 'a', text }])).toThrow(/not UTF-8/);
  });

  it('two files that tell of one operation, or one file given twice', () => {
    const text = begun('1');
    expect(() =>
      parseHistory([
        { source: 'a', text },
        { source: 'b', text },
      ]),
    ).toThrow(/b:1: operation 1 was begun before, in a/);
    expect(() =>
      parseHistory([
        { source: 'a', text },
        { source: 'a', text: '' },
      ]),
    ).toThrow(/twice/);
    const strayEnd = [
      { source: 'a', text },
      { source: 'b', text: ended('1') },
    ];
    expect(() => parseHistory(strayEnd)).toThrow(/not begun here/);
  });
});
