import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * The files that a guide's `ts` blocks are, by the name in their first line, written where a test can import
 * them: what a reader copies is what is run.
 */
export interface PageModules extends Disposable {
  import<Module>(file: string): Promise<Module>;
}

/** Takes the named blocks out of a page of `docs/guides`. */
export function pageModules(page: string): PageModules {
  const text = readFileSync(new URL(`../../docs/guides/${page}.md`, import.meta.url), 'utf8');
  const folder = new URL(`./.shardline/${page}-${process.pid}/`, import.meta.url);
  mkdirSync(folder, { recursive: true });
  for (const [, code] of text.matchAll(/^```ts\n([\s\S]*?)^```/gm)) {
    const name = /^\/\/ ([\w.-]+\.ts)\n/.exec(code as string)?.[1];
    if (name !== undefined) writeFileSync(new URL(name, folder), code as string);
  }
  return {
    import: (file) => import(/* @vite-ignore */ fileURLToPath(new URL(file, folder))),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
