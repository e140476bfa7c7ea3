export { type TierCase, tierContract } from './tier-contract.js';
