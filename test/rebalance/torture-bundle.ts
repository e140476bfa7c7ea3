import { readFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = new URL('../../', import.meta.url);

/** A fault put into the product on purpose, to see that the judges find it. */
export interface PlantedBug {
  /** End of the path of the source file. */
  readonly file: string;
  readonly replace: string;
  readonly by: string;
}

/**
 * Makes one program of a file of this folder and the packages' sources.
 *
 * @throws Error if a planted bug no longer finds its place: a plant that does not grow would prove nothing.
 */
export async function bundleProgram(entry: string, bug?: PlantedBug): Promise<string> {
  const tsconfig = JSON.parse(readFileSync(new URL('tsconfig.json', root), 'utf8'));
  const paths = tsconfig.compilerOptions.paths as Record<string, [string]>;
  // Within the tree, so that what is not taken in is found from there.
  const folder = new URL('node_modules/.cache/shardline-tests/', root);
  await mkdir(folder, { recursive: true });
  const name = `${entry}-${process.pid}${bug === undefined ? '' : '-planted'}.mjs`;
  const outfile = fileURLToPath(new URL(name, folder));
  let isPlanted = bug === undefined;
  await build({
    entryPoints: [fileURLToPath(new URL(`${entry}.ts`, import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    loader: { '.sql': 'text', '.lua': 'text' },
    logLevel: 'error',
    plugins: [
      {
        name: 'workspace-sources',
        setup(setup) {
          setup.onResolve({ filter: /^[^./]/ }, ({ path, kind }) => {
            if (kind === 'entry-point') return undefined;
            const source = paths[path]?.[0];
            return source === undefined
              ? { path, external: true }
              : { path: fileURLToPath(new URL(source, root)) };
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
  });
  if (!isPlanted) throw new Error(`The planted bug found no place in ${bug?.file}.`);
  return outfile;
}
