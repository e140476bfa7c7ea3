/**
 * Compiles every TypeScript example that a user may copy: the ```ts blocks of TSDoc comments in the
 * packages' sources and of all Markdown pages. Each block becomes a module of its own, checked
 * with the settings of the repository, against the packages' sources. A block of a page whose first line
 * is `// name.ts` is the file of that name, which the other blocks of the page can import.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import ts from 'typescript';

const FOLDER = '.shardline/examples';
const files = execFileSync(
  'git',
  ['ls-files', '--cached', '--others', '--exclude-standard', '*.md', 'packages/*/src/**/*.ts'],
  { encoding: 'utf8' },
)
  .split('\n')
  .filter((file) => file !== '' && !file.endsWith('.test.ts'));

const examples = files.flatMap((file) => {
  const text = readFileSync(file, 'utf8');
  return file.endsWith('.md') ? fromMarkdown(file, text) : fromSource(file, text);
});

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER, { recursive: true });
const origins = new Map();
for (const [index, { file, line, code }] of examples.entries()) {
  const path = pathOf(file, code, index);
  origins.set(path, { file, line });
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${code}\nexport {};\n`);
}

const config = ts.getParsedCommandLineOfConfigFile('tsconfig.json', { noEmit: true }, ts.sys);
const program = ts.createProgram([...origins.keys(), 'types/text-modules.d.ts'], {
  ...config.options,
  noUnusedLocals: false,
});
const diagnostics = ts
  .getPreEmitDiagnostics(program)
  .filter(({ file }) => file?.fileName.includes(FOLDER));

for (const { file, start, messageText } of diagnostics) {
  const path = file.fileName.slice(file.fileName.indexOf(FOLDER));
  const { line } = file.getLineAndCharacterOfPosition(start);
  const origin = origins.get(path);
  console.log(
    `${origin.file}:${origin.line + line}: ${ts.flattenDiagnosticMessageText(messageText, '\n  ')}`,
  );
}
console.log(`${examples.length} examples compiled, ${diagnostics.length} faults.`);
rmSync(FOLDER, { recursive: true, force: true });
process.exitCode = diagnostics.length > 0 || examples.length === 0 ? 1 : 0;

function pathOf(file, code, index) {
  const name = /^\/\/ ([\w./-]+\.ts)\n/.exec(code)?.[1];
  const page = file.replaceAll('/', '_');
  return name === undefined ? `${FOLDER}/example-${index}.ts` : `${FOLDER}/${page}/${name}`;
}

function fromMarkdown(file, text) {
  return fences(text).map(({ code, line }) => ({ file, line, code }));
}

/** TSDoc is read from the comments alone: a template string may hold a fence too. */
function fromSource(file, text) {
  const comments = [...text.matchAll(/\/\*\*[\s\S]*?\*\//g)];
  return comments.flatMap((comment) => {
    const firstLine = text.slice(0, comment.index).split('\n').length;
    const body = comment[0].replace(/^[ \t]*\* ?/gm, '');
    return fences(body).map(({ code, line }) => ({ file, line: firstLine + line - 1, code }));
  });
}

function fences(text) {
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map((match) => ({
    code: match[1],
    line: text.slice(0, match.index).split('\n').length + 1,
  }));
}
