/**
 * Writes `llms.txt`, a table of contents for language models (llmstxt.org), and `llms-full.txt`, the same pages in
 * full, from the README, the guides and the READMEs of the packages. With `--check` it writes nothing and
 * fails if either is missing or stale.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';

const ADDRESS = 'https://github.com/shardline/shardline/blob/main';
const isCheck = process.argv.includes('--check');

const read = (file) => readFileSync(file, 'utf8');
const packages = readdirSync('packages')
  .filter((folder) => existsSync(`packages/${folder}/README.md`))
  .filter((folder) => JSON.parse(read(`packages/${folder}/package.json`)).private !== true);

const sections = [
  ['Guides', guidesInReadingOrder().map((name) => `docs/guides/${name}.md`)],
  ['Packages', packages.map((folder) => `packages/${folder}/README.md`)],
  [
    'More',
    [
      'docs/architecture.md',
      'docs/observability/README.md',
      'examples/betting/README.md',
      'benchmarks/README.md',
      'docs/errors/README.md',
    ].filter((file) => existsSync(file)),
  ],
];

const readme = pageOf('README.md');
const texts = new Map([
  ['llms.txt', contents()],
  ['llms-full.txt', everything()],
]);

if (isCheck) {
  for (const [file, text] of texts) {
    if (existsSync(file) && read(file) === text) continue;
    console.log(`${file} is missing or stale: run \`npm run docs:llms\``);
    process.exitCode = 1;
  }
} else {
  for (const [file, text] of texts) writeFileSync(file, text);
  console.log(`Wrote ${[...texts.keys()].join(' and ')}.`);
}

/** As the first guide leads on to them; whatever it does not name comes last. */
function guidesInReadingOrder() {
  const names = readdirSync('docs/guides').map((file) => file.replace(/\.md$/, ''));
  const first = 'getting-started';
  const text = read(`docs/guides/${first}.md`);
  const place = (name) => {
    const at = text.indexOf(`](${name}.md)`);
    return at === -1 ? Number.POSITIVE_INFINITY : at;
  };
  const others = names.filter((name) => name !== first);
  return [first, ...others.sort((a, b) => place(a) - place(b) || a.localeCompare(b))];
}

function contents() {
  const lists = sections.map(
    ([title, files]) => `## ${title}\n\n${files.map((file) => entry(file)).join('\n')}\n`,
  );
  return `# ${readme.title}\n\n> ${readme.summary}\n\n${lists.join('\n')}`;
}

function entry(file) {
  const { title, summary } = pageOf(file);
  return `- [${title}](${ADDRESS}/${file}): ${summary}`;
}

function everything() {
  // The list of error codes is long and each code has a page of its own: its address is enough.
  const files = sections
    .flatMap(([, list]) => list)
    .filter((file) => !file.includes('docs/errors'));
  return ['README.md', ...files]
    .map((file) => `<!-- ${ADDRESS}/${file} -->\n\n${read(file).trim()}\n`)
    .join('\n\n');
}

/** A page's heading, and the first sentence or two of its first paragraph, without marks. */
function pageOf(file) {
  const text = read(file).replaceAll(/^```[\s\S]*?^```$/gm, '');
  const title = /^# (.+)$/m.exec(text)?.[1] ?? file;
  const paragraph = text
    .slice(text.indexOf(title) + title.length)
    .split(/\n{2,}/)
    .map((part) => part.trim())
    .find((part) => /^[\p{L}*`[]/u.test(part));
  const plain = (paragraph ?? '')
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll(/[*`]/g, '')
    .replaceAll(/\s+/g, ' ');
  const sentences = plain.match(/[^.]+(?:\.(?!\s)[^.]*)*(?:\.|:|$)/g) ?? [plain];
  return { title, summary: sentences.slice(0, 2).join('').trim().replace(/:$/, '.') };
}
