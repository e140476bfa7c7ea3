import type { SessionCarrierOptions } from '@shardline/pool/http';
import type { DataLayer } from '../data-layer.js';
import type { ProbePaths } from '../lifecycle/probes.js';

/** What of a layer the kits need. */
export type KitLayer = Pick<DataLayer, 'health' | 'session'>;

/** How a session travels with requests; see `SessionCarrierOptions`. */
export type KitSessions = Omit<SessionCarrierOptions, 'pool'>;

/** What every kit is told. */
export interface KitOptions<Layer extends KitLayer = KitLayer> {
  readonly layer: Layer;
  /** How the session travels; false: not at all. @default by the cookie `shardline-session` */
  readonly session?: KitSessions | false;
  /** Where probes are answered; false: nowhere. @default `/healthz` and `/readyz` */
  readonly probes?: ProbePaths | false;
}
