import { describe, expect, it } from 'vitest';
import { quoted, redisConfiguration, sentinelConfiguration } from './redis-configuration.js';
import type { CheckedRedisOptions } from './redis-options.js';

const place = { folder: '/tmp/a "b"', port: 7001 };
const bare: CheckedRedisOptions = { name: 'redis', persistence: false, settings: {} };

/** Redis takes the last of two lines. */
function directive(text: string, name: string): string | undefined {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name} `))
    .at(-1)
    ?.slice(name.length + 1);
}

describe('redis.conf', () => {
  it('listens on the loopback only and keeps nothing on disk', () => {
    const text = redisConfiguration(place, bare);
    expect(directive(text, 'bind')).toBe('127.0.0.1');
    expect(directive(text, 'port')).toBe('7001');
    expect(directive(text, 'save')).toBe('""');
    expect(directive(text, 'appendonly')).toBe('no');
    expect(directive(text, 'dir')).toBe('"/tmp/a \\"b\\""');
  });

  it('leaves out what was not asked for', () => {
    const text = redisConfiguration(place, bare);
    expect(text).not.toMatch(/maxmemory|requirepass|notify|tls|user|debug/);
  });

  it('lets the user win over the kit', () => {
    const settings = { appendonly: 'yes', save: ['60 1', '300 10'], bind: '127.0.0.1 ::1' };
    const text = redisConfiguration(place, { ...bare, settings }, { role: { save: '900 1' } });
    expect(directive(text, 'appendonly')).toBe('yes');
    expect(text).toContain('save 60 1\nsave 300 10\n');
    expect(text).not.toContain('save 900 1');
  });

  it('has one port, which speaks TLS if asked to', () => {
    const text = redisConfiguration(place, bare, { hasTls: true });
    expect(directive(text, 'port')).toBe('0');
    expect(directive(text, 'tls-port')).toBe('7001');
  });

  it('quotes passwords', () => {
    expect(quoted('a"b\\c')).toBe('"a\\"b\\\\c"');
    const text = redisConfiguration(place, { ...bare, password: 'p w"' });
    expect(directive(text, 'requirepass')).toBe('"p w\\""');
    expect(directive(text, 'masterauth')).toBe('"p w\\""');
  });
});

describe('sentinel.conf', () => {
  it('names the primary before it says anything of it', () => {
    const text = sentinelConfiguration(place, {
      masterName: 'bets',
      primaryPort: 7000,
      quorum: 2,
      replicas: 2,
      downAfterMs: 1000,
      failoverTimeoutMs: 3000,
      password: 'x',
    });
    const lines = text.split('\n').filter((line) => line.startsWith('sentinel '));
    expect(lines[0]).toBe('sentinel monitor bets 127.0.0.1 7000 2');
    expect(lines).toContain('sentinel auth-pass bets "x"');
    expect(lines).toContain('sentinel parallel-syncs bets 2');
  });
});
