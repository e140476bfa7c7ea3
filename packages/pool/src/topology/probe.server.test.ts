import { type PostgresServer, startPostgres } from '@shardline/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type KnownServer, type ProbeRow, probeSql, probeValues, readProbe } from './probe.js';

let one: PostgresServer;
let other: PostgresServer;

beforeAll(async () => {
  [one, other] = await Promise.all([
    startPostgres({ name: 'one' }),
    startPostgres({ name: 'other', ownIdentity: true }),
  ]);
});
afterAll(async () => {
  await one?.stop();
  await other?.stop();
});

async function ask(server: PostgresServer, known?: KnownServer) {
  const row = (await server.query(probeSql, probeValues(known))).rows[0] as unknown as ProbeRow;
  return { row, answer: readProbe(row, known) };
}

test('a server that has said who it is does not look it up again, whatever the connection', async () => {
  const first = await ask(one);
  expect(first.row.system_identifier).toMatch(/^\d+$/);
  const again = await ask(one, first.answer);
  expect(again.row.system_identifier).toBeNull();
  expect(again.answer.systemIdentifier).toBe(first.answer.systemIdentifier);
});

test('a server that answers in the place of another says who it is', async () => {
  const { answer: known } = await ask(one);
  const { answer } = await ask(other, known);
  expect(answer.systemIdentifier).toBe((await ask(other)).answer.systemIdentifier);
  expect(answer.systemIdentifier).not.toBe(known.systemIdentifier);
});

test('a server that was started anew says who it is', async () => {
  const { answer: known } = await ask(one);
  await one.restart();
  const { row, answer } = await ask(one, known);
  expect(row.system_identifier).toBe(known.systemIdentifier);
  expect(answer.startedAt).not.toBe(known.startedAt);
});

test('an answer without an identity belongs to a question that named one', async () => {
  const { answer, row } = await ask(one, (await ask(one)).answer);
  expect(answer.role).toBe('primary');
  expect(() => readProbe(row)).toThrow('another question');
});
