export { expressSessions } from './express.js';
export { type FastifyLike, fastifySessions } from './fastify.js';
export { type HonoContextLike, honoSessions } from './hono.js';
export { SessionCarrier, type SessionCarrierOptions } from './session-carrier.js';
