import { beforeAll, describe, expect, test, vi } from 'vitest';
import { others } from './corpus.js';
import { loadGrammar } from './grammar.js';
import { createClassifier } from './statement.js';
import { FunctionCatalog } from './volatile-functions.js';

beforeAll(loadGrammar);

describe('the classifier before its grammar is loaded', () => {
  test('takes everything for unknown, and forgets that as soon as it can do better', async () => {
    // Another file may have loaded it for everybody.
    vi.resetModules();
    const fresh = await import('./statement.js');
    const classifier = fresh.createClassifier();
    expect(classifier.classify('SELECT 1').kind).toBe('unknown');
    await (await import('./grammar.js')).loadGrammar();
    expect(classifier.classify('SELECT 1').kind).toBe('read');
  });
});

describe('hints', () => {
  const { classify } = createClassifier();
  test.each([
    ['/* primary */ SELECT 1', 'primary'],
    ['  /*replica*/ SELECT 1', 'replica'],
    ['SELECT 1 /* PRIMARY */;', 'primary'],
    ['/* replica */ SELECT 1 /* primary */', 'primary'],
    ["SELECT '/* primary */'", undefined],
    ['SELECT $$x /* replica */$$', undefined],
    ['SELECT /* primary */ 1', undefined],
    ['SELECT 1 /* primary key */', undefined],
  ])('%s carries %s', (text, hint) => {
    expect(classify(text).hint).toBe(hint);
  });
});

describe('details that routing needs', () => {
  const { classify } = createClassifier();

  test('a late declaration of a read-only transaction is told', () => {
    expect(classify('SET TRANSACTION READ ONLY').declares).toBe('read-only');
    expect(classify('SET TRANSACTION READ WRITE').declares).toBe('read-write');
    expect(classify('SET TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE').declares).toBe(
      'read-write',
    );
    expect(classify('SET work_mem = 1').declares).toBeUndefined();
  });

  test('only a SELECT that fails for a name may be overruled by a hint', () => {
    expect(classify('SELECT my_own_function()').isOverridable).toBe(true);
    expect(classify('SELECT pg_advisory_lock(1)').isOverridable).toBeUndefined();
    expect(classify('DELETE FROM bet').isOverridable).toBeUndefined();
    expect(classify('SELECT my_own_function() FROM bet FOR UPDATE').isOverridable).toBeUndefined();
  });

  test('the statements of a text are counted', () => {
    expect(classify('').statements).toBe(0);
    expect(classify('SELECT 1; SELECT 2').statements).toBe(2);
  });
});

describe('what a standby has refused', () => {
  test('is a write from then on, even after the catalog has changed', () => {
    const catalog = new FunctionCatalog();
    const classifier = createClassifier({ volatileFunctions: catalog });
    const text = 'SELECT * FROM account';
    expect(classifier.classify(text).kind).toBe('read');
    classifier.noteRefused(text);
    expect(classifier.classify(text).kind).toBe('write');
    const none = { attributes: new Set(''), operators: new Set(''), casts: new Set('') };
    catalog.replace({ functions: new Map(), relations: new Map(), ...none }, 0);
    expect(classifier.classify(text).kind).toBe('write');
  });
});

describe('names that nobody knows', () => {
  test('ask for the catalog again, but not for ever when it does not know them either', () => {
    const catalog = new FunctionCatalog();
    const contents = {
      functions: new Map([['known', false]]),
      attributes: new Set<string>(),
      operators: new Set<string>(),
      casts: new Set<string>(),
      relations: new Map<string, string>(),
    };
    const { classify } = createClassifier({ volatileFunctions: catalog });
    expect(catalog.wantsRefresh(0)).toBe(true);
    catalog.replace(contents, 0);
    expect(classify('SELECT known()').kind).toBe('read');
    expect(catalog.wantsRefresh(60_000)).toBe(false);
    expect(classify('SELECT newcomer()').kind).toBe('write');
    expect(catalog.wantsRefresh(1_000)).toBe(false);
    expect(catalog.wantsRefresh(60_000)).toBe(true);
    catalog.replace(contents, 60_000);
    expect(classify('SELECT newcomer()').kind).toBe('write');
    expect(catalog.wantsRefresh(120_000)).toBe(false);
  });

  test('can be vouched for', () => {
    const catalog = new FunctionCatalog(['uuid_generate_v4']);
    const { classify } = createClassifier({ volatileFunctions: catalog });
    expect(classify('SELECT uuid_generate_v4()').kind).toBe('read');
  });
});

describe('texts that are hard on the parser', () => {
  const { classify } = createClassifier();

  test('a bulk insert of a megabyte is known as a write at once', () => {
    const text = `INSERT INTO bet VALUES ${'(1, 1, 1), '.repeat(100_000)} (1, 1, 1)`;
    expect(classify(text)).toMatchObject({ kind: 'write', reason: 'INSERT' });
  });

  test('a long list of parameters is still a read', () => {
    const list = Array.from({ length: 3_000 }, (_, i) => `$${i + 1}`).join(', ');
    expect(classify(`SELECT * FROM bet WHERE id IN (${list})`).kind).toBe('read');
  });

  test('without a catalog only what needs one can pass for a read', () => {
    const passing = others.filter(([, text]) => classify(text).kind === 'read').map(([, t]) => t);
    const needsCatalog = /ticketing|locking|scratch|label|<~>|lower\(/;
    expect(passing.filter((text) => !needsCatalog.test(text))).toEqual([]);
  });
});
