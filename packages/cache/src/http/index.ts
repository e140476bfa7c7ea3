export {
  type ExpressCachedRequest,
  type ExpressCachedResponse,
  expressResponses,
} from './express.js';
export {
  type FastifyCachedReply,
  type FastifyCachedRequest,
  type FastifyCachedServer,
  fastifyResponses,
} from './fastify.js';
export { type HonoCachedContext, honoResponses } from './hono.js';
export type { RequestView, ResponseCacheOptions } from './response-cache.js';
export type { StoredResponse } from './stored-response.js';
