export type {
  Backend,
  Endpoint,
  Server,
  ServerKind,
  ServerPlace,
  ServerSpec,
  ServerState,
} from './server/server.js';
