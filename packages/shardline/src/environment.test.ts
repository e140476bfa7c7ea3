// biome-ignore-all lint/suspicious/noTemplateCurlyInString: this is what references look like
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { expandEnvironment } from './environment.js';

const expand = <T>(value: T, environment: Record<string, string> = {}) =>
  expandEnvironment(value, environment, 'the shop');

describe('references to the environment', () => {
  test('a whole text and a part of one are replaced, at every depth', () => {
    const value = { a: 'env:URL', b: [{ c: 'host ${HOST}' }], d: 7, e: undefined };
    expect(expand(value, { URL: 'postgres://x', HOST: 'db-1' })).toEqual({
      a: 'postgres://x',
      b: [{ c: 'host db-1' }],
      d: 7,
      e: undefined,
    });
  });

  test('a password with any character keeps its URL whole', () => {
    const password = 'p@ss/w#rd?:%${x}';
    const url = expand('postgres://app:${PASSWORD}@${HOST}:5432/shop', {
      PASSWORD: password,
      HOST: 'db-1',
    });
    expect(decodeURIComponent(new URL(url).password)).toBe(password);
    expect(new URL(url).host).toBe('db-1:5432');
  });

  test('a reference that is the whole URL is taken as it is', () => {
    expect(expand('${URL}', { URL: 'postgres://a:b%2F@c/d' })).toBe('postgres://a:b%2F@c/d');
  });

  test('every variable that is missing is named, each with its place', () => {
    expect(() => expand({ shards: [{ primary: 'env:ONE' }, { primary: 'pg://${TWO}' }] })).toThrow(
      /shards\[0\]\.primary: the environment variable ONE is not set[\s\S]*shards\[1\]\.primary: the environment variable TWO/,
    );
  });

  test('what is no plain data stays the very same', () => {
    const schema = v.object({ id: v.string() });
    const date = new Date(0);
    const expanded = expand({ schema, date });
    expect(expanded.schema).toBe(schema);
    expect(expanded.date).toBe(date);
  });
});
