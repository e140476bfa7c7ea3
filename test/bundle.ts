import { mkdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import tsconfig from '../tsconfig.json' with { type: 'json' };

const root = new URL('../', import.meta.url);

/** A fault put into the product on purpose, to see that a judge finds it. */
export interface PlantedBug {
  /** End of the path of the source file. */
  readonly file: string;
  readonly replace: string;
  readonly by: string;
}

/**
 * Makes one program of a TypeScript file and the packages' sources, for a process of its own.
 *
 * @throws Error if a planted bug no longer finds its place: a plant that does not grow would prove nothing.
 */
export async function bundle(entry: URL, bug?: PlantedBug): Promise<string> {
  const sources = Object.fromEntries(
    Object.entries(tsconfig.compilerOptions.paths).map(([name, [file]]) => [
      name,
      fileURLToPath(new URL(file as string, root)),
    ]),
  );
  // Within the tree, so that the packages it does not take in are found from there.
  const folder = new URL('node_modules/.cache/shardline-tests/', root);
  await mkdir(folder, { recursive: true });
  const name = `${basename(entry.pathname, '.ts')}-${process.pid}${bug === undefined ? '' : '-planted'}`;
  const outfile = fileURLToPath(new URL(`${name}.mjs`, folder));
  let isPlanted = bug === undefined;
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
          setup.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
            if (bug === undefined || !path.endsWith(bug.file)) return undefined;
            const text = await readFile(path, 'utf8');
            isPlanted = text.includes(bug.replace);
            return { contents: text.replace(bug.replace, bug.by), loader: 'ts' };
          });
        },
      },
    ],
    logLevel: 'error',
  });
  if (!isPlanted) throw new Error(`The planted bug found no place in ${bug?.file}.`);
  return outfile;
}
