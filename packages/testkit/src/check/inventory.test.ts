import { describe, expect, it } from 'vitest';
import { checkInventory } from './inventory.js';
import { rulesOf } from './sample-history.js';

const BEFORE = { slots: [], roles: ['app', 'postgres'], sessions: ['router-1', 'router-1'] };

describe('an inventory is accepted when', () => {
  it('it is the same, in any order', () => {
    const after = { sessions: ['router-1', 'router-1'], roles: ['postgres', 'app'], slots: [] };
    expect(checkInventory(BEFORE, after)).toEqual({
      valid: true,
      violations: [],
      counted: { kinds: 3, thingsBefore: 4, thingsAfter: 4, violations: 0 },
    });
  });

  it('what differs may differ', () => {
    const after = { slots: ['kept'], roles: ['app'], sessions: ['router-1'] };
    const options = {
      mayStay: { slots: ['kept'] },
      mayGo: { roles: ['postgres'], sessions: ['router-1'] },
    };
    expect(checkInventory(BEFORE, after, options).valid).toBe(true);
  });
});

describe('an inventory is rejected when', () => {
  const bad: Record<string, { after: Record<string, string[]>; rule: string; message: string }> = {
    'a slot is left': {
      after: { ...BEFORE, slots: ['move_7'] },
      rule: 'left-behind',
      message: 'slots: move_7 is left (0 before, 1 after)',
    },
    'one more session of a known name is left': {
      after: { ...BEFORE, sessions: ['router-1', 'router-1', 'router-1'] },
      rule: 'left-behind',
      message: 'sessions: router-1 is left (2 before, 3 after)',
    },
    'a role is gone': {
      after: { ...BEFORE, roles: ['app'] },
      rule: 'gone',
      message: 'roles: postgres is gone (1 before, 0 after)',
    },
    'a kind was not looked at afterwards': {
      after: { slots: [], roles: BEFORE.roles },
      rule: 'not-looked-at',
      message: 'sessions were not looked at after the run',
    },
    'a kind was not looked at before': {
      after: { ...BEFORE, ports: [] },
      rule: 'not-looked-at',
      message: 'ports were not looked at before the run',
    },
    'a kind bears the name of something every object has': {
      after: { ...BEFORE, constructor: [] } as Record<string, string[]>,
      rule: 'not-looked-at',
      message: 'constructor were not looked at before the run',
    },
  };
  it.each(Object.keys(bad))('%s', (name) => {
    const { after, rule, message } = bad[name] as (typeof bad)[string];
    const verdict = checkInventory(BEFORE, after);
    expect(verdict.valid).toBe(false);
    expect(rulesOf(verdict)).toEqual([rule]);
    expect(verdict.violations.map((violation) => violation.message)).toEqual([message]);
  });

  it('many things differ: they are told in the order of kind and name', () => {
    const verdict = checkInventory({ b: [], a: [] }, { b: ['z', 'y'], a: ['x'] });
    expect(verdict.violations.map((violation) => violation.message.split(' is ')[0])).toEqual([
      'a: x',
      'b: y',
      'b: z',
    ]);
  });

  it('what may stay is of another kind, or what may stay has gone', () => {
    const after = { ...BEFORE, slots: ['kept'], roles: ['app'] };
    const options = { mayStay: { roles: ['kept', 'postgres'] } };
    expect(rulesOf(checkInventory(BEFORE, after, options))).toEqual(['gone', 'left-behind']);
  });
});
