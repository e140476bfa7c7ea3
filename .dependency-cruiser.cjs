/**
 * The one-way graph of the packages, enforced:
 *
 *   core <- pool <- shard-router <- shardline <- cli, examples
 *   core <- cache, ratelimit <- shardline
 *
 * `testkit` stands on core and serves tests, the demo and benchmarks only.
 */
const mayImport = {
  core: [],
  testkit: ['core'],
  pool: ['core'],
  'shard-router': ['core', 'pool'],
  cache: ['core'],
  ratelimit: ['core'],
  shardline: ['core', 'pool', 'shard-router', 'cache', 'ratelimit'],
  cli: ['core', 'pool', 'shard-router', 'cache', 'ratelimit', 'shardline'],
};

const everyPackage = Object.keys(mayImport);

const direction = everyPackage.map((name) => {
  const forbidden = everyPackage.filter(
    (other) => other !== name && !mayImport[name].includes(other),
  );
  return {
    name: `${name} imports ${mayImport[name].join(', ') || 'no other package'}`,
    severity: 'error',
    from: { path: `^packages/${name}/src/`, pathNot: ['\\.test\\.ts$', '/testing-[^/]+\\.ts$'] },
    to: { path: `^packages/(${forbidden.join('|')})/` },
  };
});

module.exports = {
  forbidden: [
    ...direction,
    {
      name: 'no circles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'a package is entered by its doors',
      comment: 'Import another package by its name, not by a path into its sources.',
      severity: 'error',
      from: { path: '^packages/([^/]+)/' },
      to: {
        path: '^packages/',
        pathNot: ['^packages/$1/', '/src/index\\.ts$', '/src/[^/]+/index\\.ts$'],
      },
    },
    {
      name: 'the command knows itself without its libraries',
      comment:
        '`shardline --help` is answered at once: the verb that needs a router or a data layer loads it.',
      severity: 'error',
      from: {
        path: '^packages/cli/src/',
        pathNot: ['\\.test\\.ts$', '/test-host/', '/load-topology\\.ts$'],
      },
      to: {
        path: '^packages/(shardline|shard-router)/',
        dynamic: false,
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'everything imported is there',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    exclude: { path: '(^|/)dist/' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json', '.lua', '.sql'],
    },
  },
};
