/**
 * Writes one page per error code from the catalogues in the packages: `docs/errors/CODE.md`, the address
 * that every message carries. With `--check` it writes nothing and fails if a page is missing, stale
 * or of a code that is no more.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const FOLDER = 'docs/errors';
const isCheck = process.argv.includes('--check');

const definitions = await collectDefinitions();
const pages = new Map(definitions.map((definition) => [`${definition.code}.md`, page(definition)]));
pages.set('README.md', index(definitions));

const present = existsSync(FOLDER) ? readdirSync(FOLDER) : [];
const faults = [
  ...present.filter((file) => !pages.has(file)).map((file) => `${file} is of no code`),
  ...[...pages]
    .filter(
      ([file, text]) =>
        !present.includes(file) || readFileSync(`${FOLDER}/${file}`, 'utf8') !== text,
    )
    .map(([file]) => `${file} is missing or stale`),
];

if (isCheck) {
  for (const fault of faults) console.log(`docs/errors/${fault}: run \`npm run docs:errors\``);
  process.exitCode = faults.length > 0 ? 1 : 0;
} else {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  for (const [file, text] of pages) writeFileSync(`${FOLDER}/${file}`, text);
  console.log(`${definitions.length} error codes described in ${FOLDER}.`);
}

/** Every export of every door whose values look like error definitions. */
async function collectDefinitions() {
  const found = new Map();
  for (const folder of readdirSync('packages').sort()) {
    const manifest = JSON.parse(readFileSync(`packages/${folder}/package.json`, 'utf8'));
    for (const door of Object.values(manifest.exports ?? {})) {
      const file = door.import?.default;
      if (file === undefined) continue;
      const module = await import(pathToFileURL(`packages/${folder}/${file}`).href);
      for (const catalogue of Object.values(module)) {
        if (typeof catalogue !== 'object' || catalogue === null) continue;
        for (const definition of Object.values(catalogue)) {
          if (!isDefinition(definition)) continue;
          // Several packages may throw one code: it belongs to the first, as imports run downwards.
          if (!found.has(definition.code))
            found.set(definition.code, { ...definition, package: manifest.name });
        }
      }
    }
  }
  return [...found.values()].sort((a, b) => a.code.localeCompare(b.code));
}

function isDefinition(value) {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof value.code === 'string' &&
    typeof value.meaning === 'string' &&
    typeof value.remedy === 'string'
  );
}

function page({ code, meaning, remedy, retryable, package: name }) {
  return `# ${code}

${meaning}

**What to do.** ${remedy}

| | |
| --- | --- |
| Thrown by | \`${name}\` |
| May the same call succeed later? | ${retryable ? 'yes: `error.retryable` is `true`' : 'no, something has to change first: `error.retryable` is `false`'} |

The message says what happened and to what; \`error.details\` holds the same facts for programs, and
\`error.cause\` the error underneath, if there is one.
`;
}

function index(all) {
  const rows = all.map(
    ({ code, meaning, package: name }) => `| [${code}](${code}.md) | ${meaning} | \`${name}\` |`,
  );
  return `# Error codes

Every Shardline error carries a \`code\`, and its message the address of the code's page. These pages are
generated from the catalogues in the packages (\`npm run docs:errors\`).

| Code | Meaning | Package |
| --- | --- | --- |
${rows.join('\n')}
`;
}
