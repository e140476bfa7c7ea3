import { describe, expect, test } from 'vitest';
import { isLeftOut } from './base-backup.js';
import { quoteSetting, renderAccess, renderSettings, replicaSettings } from './settings.js';
import { synchronousStandbyNames } from './synchronous-standbys.js';

const place = { folder: '/srv/x', port: 15_001 };

describe('postgresql.conf', () => {
  test('holds our settings, those of the caller over them, and places that nobody changes', () => {
    const text = renderSettings(place, false, { wal_level: 'replica', port: 1, jit: false });
    expect(text).toContain("wal_level = 'replica'\n");
    expect(text).toContain('port = 15001\n');
    expect(text).toContain('fsync = off\n');
    expect(text).toContain('jit = off\n');
    expect(text).not.toContain('full_page_writes');
    expect(renderSettings(place, true, {})).not.toContain('fsync');
  });

  test('values are quoted so that they come back as they were', () => {
    expect(quoteSetting("it's\\n\nso")).toBe("'it''s\\\\n\\nso'");
    expect(quoteSetting(true)).toBe('on');
    expect(quoteSetting(2.5)).toBe('2.5');
  });

  test('a replica has the settings of its primary and its own delay', () => {
    expect(replicaSettings({ max_connections: 60, jit: true }, { jit: false }, '1m30s')).toEqual({
      max_connections: 60,
      jit: false,
      recovery_min_apply_delay: '90000ms',
    });
  });
});

describe('pg_hba.conf', () => {
  test('lets only loopback in, and the superuser always without a password', () => {
    const lines = renderAccess('scram-sha-256').trim().split('\n');
    expect(lines.every((line) => line.includes(' 127.0.0.1/32 '))).toBe(true);
    expect(lines[0]).toBe('host all postgres 127.0.0.1/32 trust');
    expect(lines).toContain('host all all 127.0.0.1/32 scram-sha-256');
  });
});

describe('a backup', () => {
  test('leaves out what belongs to the running server and the log, and nothing of the data', () => {
    for (const path of [
      'pg_wal/000000010000000000000001',
      'pg_replslot/a/state',
      'postmaster.pid',
      'standby.signal',
      'global/pg_control',
      'base/5/pg_internal.init',
      'base/pgsql_tmp/pgsql_tmp12.0',
    ]) {
      expect(isLeftOut(path), path).toBe(true);
    }
    for (const path of ['pg_wal', 'base/5/1259', 'pg_xact/0000', 'postgresql.auto.conf']) {
      expect(isLeftOut(path), path).toBe(false);
    }
  });
});

describe('synchronous_standby_names', () => {
  test('waits for any one of the replicas, and for nobody if there is none', () => {
    expect(synchronousStandbyNames(new Set())).toBe('');
    expect(synchronousStandbyNames(new Set(['b-1', 'a']))).toBe('ANY 1 ("a", "b-1")');
  });
});
