export { expressSessions } from './express.js';
export { type FastifyLike, fastifySessions } from './fastify.js';
export { type HonoContextLike, honoSessions } from './hono.js';
export {
  type CarriedSession,
  SessionCarrier,
  type SessionCarrierOptions,
  type SessionSource,
} from './session-carrier.js';
