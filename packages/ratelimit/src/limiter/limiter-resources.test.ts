import { startRedis } from '@shardline/testkit';
import { expect, test } from 'vitest';
import { createLimiter } from './limiter.js';

test('a timeout longer than a second is waited for, whatever the connection would allow', async () => {
  await using redis = await startRedis({ name: 'patient' });
  await using limiter = createLimiter({
    redis: redis.url,
    policies: { api: { limit: 10, window: '1s' } },
    timeout: '30s',
    onRedisDown: 'closed',
  });
  await limiter.check('u');
  await redis.command('CLIENT', 'PAUSE', '1500', 'WRITE');
  expect(await limiter.check('u')).toMatchObject({ allowed: true, source: 'redis' });
});
