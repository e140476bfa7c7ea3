export type { MoveWay } from './describe-move.js';
export type { Finding } from './finding.js';
export { openRebalancer } from './open-rebalancer.js';
export type { PlacementChange } from './placement-change.js';
export type { PlannedMove, RebalancePlan } from './plan.js';
export type {
  ApplyOptions,
  PlanCheck,
  PlannedStep,
  RebalanceReport,
  Rebalancer,
  RepairAction,
  VerifyReport,
  WorkOptions,
} from './rebalancer.js';
export type { MoveLimits, RebalancerOptions, ShardAdministration } from './rebalancer-options.js';
export type {
  MoveProgress,
  MoveStatus,
  MoveSteering,
  RebalanceStatus,
  RouterStatus,
  ShardStatus,
} from './status.js';
export { type MovesSource, type MoveWatch, watchMoves } from './watch-moves.js';
