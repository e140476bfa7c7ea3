import { expect, test } from 'vitest';
import { StreamFailures } from './stream-failures.js';

test('failures in a row are too many, whatever was counted before the first look', () => {
  const failures = new StreamFailures();
  failures.count({ failures: 100, copiedTables: 1 });
  expect(failures.inARow).toBe(0);
  failures.count({ failures: 109, copiedTables: 1 });
  expect([failures.inARow, failures.areTooMany]).toEqual([9, false]);
  failures.count({ failures: 110, copiedTables: 1 });
  expect([failures.inARow, failures.areTooMany]).toEqual([10, true]);
});

test('failures behind which a table is copied are forgotten, and so are those of a stream before', () => {
  const failures = new StreamFailures();
  failures.count({ failures: 0, copiedTables: 0 });
  failures.count({ failures: 9, copiedTables: 0 });
  failures.count({ failures: 10, copiedTables: 1 });
  expect(failures.inARow).toBe(0);
  failures.count({ failures: 12, copiedTables: 1 });
  failures.count({ failures: 1, copiedTables: 0 });
  expect(failures.inARow).toBe(0);
});
