/**
 * A service of its own process that reads one key over and over and writes down what it saw, to be frozen and thawed
 * by a test. One line of JSON per read: when it began and when it ended, on the host's monotonic clock, and what it saw.
 */
import { writeSync } from 'node:fs';
import { createRouter, type RouterOptions } from '@shardline/shard-router';

const { options, key } = JSON.parse(process.argv[2] as string) as {
  options: RouterOptions;
  key: number;
};
const router = await createRouter(options);
process.once('SIGTERM', () => void router.close().then(() => process.exit(0)));

for (;;) {
  const began = String(process.hrtime.bigint());
  const { rows } = await router.query(key, 'SELECT version FROM users WHERE id = $1', [key]);
  const ended = String(process.hrtime.bigint());
  const { catalog } = router.health();
  const line = { began, ended, version: rows[0]?.['version'], leased: catalog?.leased };
  writeSync(1, `${JSON.stringify(line)}\n`);
}
