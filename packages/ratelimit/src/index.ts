export { ratelimitErrors } from './errors.js';
