export {
  type OpenRedisOptions,
  openRedis,
  type RedisConnection,
  type RedisPurpose,
  redisErrors,
} from './redis-connection.js';
export {
  type ClusterRedisOptions,
  isRedisClient,
  type RedisAddress,
  type RedisClient,
  type RedisCommonOptions,
  type RedisTarget,
  type SentinelRedisOptions,
  type StandaloneRedisOptions,
} from './redis-options.js';
