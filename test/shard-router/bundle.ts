import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = new URL('../../', import.meta.url);

/** Makes one program of a TypeScript file and the packages' sources, for a process of its own. */
export async function bundle(entry: string): Promise<string> {
  const tsconfig = JSON.parse(readFileSync(new URL('tsconfig.json', root), 'utf8'));
  const paths = tsconfig.compilerOptions.paths as Record<string, [string]>;
  const alias = Object.fromEntries(
    Object.entries(paths).map(([name, [file]]) => [name, fileURLToPath(new URL(file, root))]),
  );
  // Within the tree, so that the packages it does not take in are found from there.
  const folder = new URL('node_modules/.cache/shardline-tests/', root);
  await mkdir(folder, { recursive: true });
  const outfile = fileURLToPath(new URL(`${entry}-${process.pid}.mjs`, folder));
  await build({
    entryPoints: [fileURLToPath(new URL(`${entry}.ts`, import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: [
      'pg',
      'libpg-query',
      'pgsql-deparser',
      'pg-cursor',
      'pg-copy-streams',
      'valibot',
      'lru-cache',
      '@opentelemetry/api',
      'pg-connection-string',
      'ioredis',
      'fastest-levenshtein',
    ],
    loader: { '.sql': 'text', '.lua': 'text' },
    alias,
    logLevel: 'error',
  });
  return outfile;
}
