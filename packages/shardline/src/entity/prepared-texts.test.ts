import { describe, expect, test } from 'vitest';
import { PreparedTexts } from './prepared-texts.js';

const TEXT = 'SELECT * FROM users WHERE user_id = $1';

function refusal(fields: object): Error {
  return Object.assign(new Error('refused by the server'), fields);
}

/** Runs one statement and gives the names that it was tried under. */
async function namesTried(prepared: PreparedTexts, text: string, ...refusals: Error[]) {
  const names: (string | undefined)[] = [];
  const outcome = await prepared
    .run(text, async (name) => {
      names.push(name);
      const next = refusals.shift();
      if (next !== undefined) throw next;
      return 'done';
    })
    .catch((error: unknown) => error);
  return { names, outcome };
}

describe('the name of a statement', () => {
  test('is the same each time, and another for another text', async () => {
    const prepared = new PreparedTexts(true);
    const { names: first } = await namesTried(prepared, TEXT);
    const { names: again } = await namesTried(prepared, TEXT);
    const { names: other } = await namesTried(prepared, `${TEXT} LIMIT 1`);
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
    // PostgreSQL cuts longer names off, and two may become one.
    expect(first[0]?.length).toBeLessThan(64);
  });

  test('is the same in another process, whose connections a pooler may hand to this one', async () => {
    const { names: here } = await namesTried(new PreparedTexts(true), TEXT);
    const { names: there } = await namesTried(new PreparedTexts(true), TEXT);
    expect(there).toEqual(here);
  });

  test('is none where names are not kept, nor for the endless texts of a service that makes them', async () => {
    expect((await namesTried(new PreparedTexts(false), TEXT)).names).toEqual([undefined]);
    const prepared = new PreparedTexts(true);
    for (let n = 0; n < 500; n += 1) await namesTried(prepared, `SELECT ${n}`);
    expect((await namesTried(prepared, TEXT)).names).toEqual([undefined]);
    expect((await namesTried(prepared, 'SELECT 1')).names[0]).toBeDefined();
  });
});

describe('a statement that is refused before it ran', () => {
  test('since its table has other columns runs again under another name, from then on', async () => {
    const prepared = new PreparedTexts(true);
    const changed = refusal({ code: '0A000', routine: 'RevalidateCachedQuery' });
    const { names, outcome } = await namesTried(prepared, TEXT, changed);
    expect(outcome).toBe('done');
    expect(new Set(names).size).toBe(2);
    expect((await namesTried(prepared, TEXT)).names).toEqual([names[1]]);
  });

  test('since the connection does not know it runs without a name, as do all others then', async () => {
    const prepared = new PreparedTexts(true);
    const { names, outcome } = await namesTried(prepared, TEXT, refusal({ code: '26000' }));
    expect(outcome).toBe('done');
    expect(names[1]).toBe(undefined);
    expect((await namesTried(prepared, 'SELECT 1')).names).toEqual([undefined]);
  });

  test('a second time fails, and so does one that is refused for anything else', async () => {
    const changed = () => refusal({ code: '0A000', routine: 'RevalidateCachedQuery' });
    const twice = await namesTried(new PreparedTexts(true), TEXT, changed(), changed());
    expect(twice.names.length).toBe(2);
    expect(twice.outcome).toBeInstanceOf(Error);
    const other = await namesTried(new PreparedTexts(true), TEXT, refusal({ code: '23505' }));
    expect(other.names.length).toBe(1);
    expect(other.outcome).toMatchObject({ code: '23505' });
  });
});
