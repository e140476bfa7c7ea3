/**
 * Writes the JSON Schemas that the command publishes, from the types that hold its code to them: `documents.json` for what
 * `--json` and `--ndjson` print, `configuration.json` for a configuration file in JSON. With `--check` it writes nothing and
 * fails if either is missing or stale.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import {
  AnyType,
  createFormatter,
  createParser,
  createProgram,
  SchemaGenerator,
  StringType,
} from 'ts-json-schema-generator';
import ts from 'typescript';

const ADDRESS = 'https://github.com/shardline/shardline/blob/main/packages/cli/schema';
const FOLDER = 'packages/cli/schema';
const isCheck = process.argv.includes('--check');

/** In JSON, bigints are decimal text. */
const bigints = {
  supportsNode: ({ kind }) => kind === ts.SyntaxKind.BigIntKeyword,
  createType: () => new StringType(),
};

/** What JSON cannot hold at all: a configuration in JSON leaves it out. */
const foreign = {
  supportsNode: (node) =>
    (ts.isTypeReferenceNode(node) || ts.isExpressionWithTypeArguments(node)) &&
    /^(AbortSignal|Redis|Cluster|StandardSchemaV1|PeerCertificate|SecureContext|Pool|ReplicaPool|pg\.(?!PoolConfig|ClientConfig).*|tls\..*|ConnectionOptions)$/.test(
      (node.typeName ?? node.expression).getText(),
    ),
  createType: () => new AnyType(),
};

const strings = { type: 'array', items: { type: 'string' } };

const schemas = new Map([
  ['documents.json', documents()],
  ['configuration.json', configuration()],
]);
mkdirSync(FOLDER, { recursive: true });
for (const [name, schema] of schemas) {
  const file = `${FOLDER}/${name}`;
  const text = `${JSON.stringify(schema, undefined, 2)}\n`;
  if (!isCheck) writeFileSync(file, text);
  else if (!existsSync(file) || readFileSync(file, 'utf8') !== text) {
    console.log(`${file} is missing or stale: run \`npm run docs:schemas\``);
    process.exitCode = 1;
  }
}

/** One of the documents by its `kind`, or an error. */
function documents() {
  const { definitions } = schemaOf('packages/cli/src/documents.ts', 'Documents');
  const { properties } = definitions.Documents;
  delete definitions.Documents;
  const errors = schemaOf('packages/cli/src/output/describe-error.ts', 'ErrorDocument');
  Object.assign(definitions, errors.definitions);
  const events = ['progress', 'row'];
  const kinds = Object.entries(properties).map(([kind, data]) => {
    const isEvent = events.includes(kind);
    const own = {
      type: 'object',
      properties: {
        kind: { const: kind },
        ...(isEvent ? {} : { next: strings, exitCode: { enum: [0, 1, 2, 130] } }),
      },
      // A line of `status --watch` is one of several, and says nothing of the end.
      required: isEvent || kind === 'status' ? ['kind'] : ['kind', 'next', 'exitCode'],
    };
    return { title: kind, allOf: [own, data] };
  });
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    $id: `${ADDRESS}/documents.json`,
    title: 'What `shardline` prints with --json, and each line of --ndjson',
    oneOf: [...kinds, { title: 'error', $ref: '#/definitions/ErrorDocument' }],
    definitions: inOrder(definitions),
  };
}

function configuration() {
  const { definitions } = schemaOf('packages/cli/src/config/load-config.ts', 'Configuration');
  closeObjects(definitions);
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    $id: `${ADDRESS}/configuration.json`,
    title: 'shardline.config.json',
    $ref: '#/definitions/Configuration',
    definitions: inOrder(definitions),
  };
}

function schemaOf(path, type) {
  const config = {
    path,
    type,
    tsconfig: 'tsconfig.json',
    functions: 'hide',
    // Members are added within a major version: who reads documents must not refuse them.
    additionalProperties: true,
    skipTypeCheck: true,
    expose: 'export',
    topRef: true,
    jsDoc: 'extended',
  };
  const program = createProgram(config);
  const parser = createParser(program, config, (chain) => {
    chain.addNodeParser(bigints);
    chain.addNodeParser(foreign);
  });
  return new SchemaGenerator(program, parser, createFormatter(config), config).createSchema(type);
}

/** A mistyped option is then named by the editor. */
function closeObjects(schema) {
  if (typeof schema !== 'object' || schema === null) return;
  for (const part of Object.values(schema)) closeObjects(part);
  if (schema.properties !== undefined && typeof schema.properties.type !== 'string') {
    schema.additionalProperties ??= false;
  }
}

function inOrder(definitions) {
  return Object.fromEntries(Object.entries(definitions).sort(([a], [b]) => (a < b ? -1 : 1)));
}
