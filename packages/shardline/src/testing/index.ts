/**
 * The data layer without servers, for unit tests of what is built on it.
 */
export {
  createMemoryLayer,
  type MemoryLayerOptions,
  type MemoryQuestion,
} from './memory-layer.js';
