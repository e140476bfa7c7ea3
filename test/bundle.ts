import { mkdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import tsconfig from '../tsconfig.json' with { type: 'json' };

const root = new URL('../', import.meta.url);

/** Makes one program of a TypeScript file and the packages' sources, for a process of its own. */
export async function bundle(entry: URL): Promise<string> {
  const sources = Object.fromEntries(
    Object.entries(tsconfig.compilerOptions.paths).map(([name, [file]]) => [
      name,
      fileURLToPath(new URL(file as string, root)),
    ]),
  );
  // Within the tree, so that the packages it does not take in are found from there.
  const folder = new URL('node_modules/.cache/shardline-tests/', root);
  await mkdir(folder, { recursive: true });
  const name = basename(entry.pathname, '.ts');
  const outfile = fileURLToPath(new URL(`${name}-${process.pid}.mjs`, folder));
  await build({
    entryPoints: [fileURLToPath(entry)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    loader: { '.sql': 'text', '.lua': 'text' },
    plugins: [
      {
        name: 'workspace-sources',
        setup(setup) {
          // Names of this workspace are its sources; everything else is installed.
          setup.onResolve({ filter: /^[^./]/ }, ({ path, kind }) => {
            if (kind === 'entry-point') return undefined;
            return sources[path] === undefined ? { path, external: true } : { path: sources[path] };
          });
        },
      },
    ],
    logLevel: 'error',
  });
  return outfile;
}
