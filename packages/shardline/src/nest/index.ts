/**
 * The data layer for NestJS.
 */
export { entityToken, InjectEntity, InjectLayer, LAYER } from './inject.js';
export { ShardlineHealth } from './shardline-health.js';
export {
  ShardlineModule,
  type ShardlineModuleAsyncOptions,
  type ShardlineModuleOptions,
} from './shardline-module.js';
