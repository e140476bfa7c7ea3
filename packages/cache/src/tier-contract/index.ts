export {
  decodeFrame,
  encodeMarker,
  encodePrefix,
  type Frame,
  FrameKind,
  IDENTITY_BYTES,
  PREFIX_BYTES,
  type StandingFreshness,
} from '../entry/frame.js';
export type { StampPair } from '../entry/frame-extras.js';
export { joined, lifeWith, standingIn } from '../entry/standing-freshness.js';
export { type TierCase, tierContract } from './tier-contract.js';
