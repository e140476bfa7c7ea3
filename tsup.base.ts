import type { Options } from 'tsup';

/**
 * What every package is built with: ESM and CommonJS side by side, with types for each. Lua and SQL
 * live in files of their own and are carried in the bundle as text, so that a bundler in a user's
 * service never has to find them on disk.
 */
export function library(entry: Record<string, string>, extra: Options = {}): Options {
  return {
    entry,
    format: ['esm', 'cjs'],
    dts: true,
    clean: true,
    sourcemap: true,
    splitting: true,
    target: 'node20',
    platform: 'node',
    loader: { '.lua': 'text', '.sql': 'text' },
    shims: false,
    ...extra,
  };
}
