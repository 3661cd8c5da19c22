// Direction of the parts (docs/adr/0001): a folder imports only what stands above it in this list.
const order = [
  'libs/core',
  'libs/system',
  'libs/resp',
  'libs/selector',
  'libs/rdb',
  'libs/aof',
  'libs/replication',
  'libs/client',
  'libs/crypto',
  'libs/store',
  'libs/archive',
  'libs/catalog',
  'libs/bus',
  'services/archiver',
  'services/restorer',
  'services/workspace',
  'services/control',
  'services/cli',
];
const upward = order.map((folder, index) => ({
  name: `direction-${folder.replace('/', '-')}`,
  severity: 'error',
  comment: `${folder} may import only folders listed above it in .dependency-cruiser.cjs`,
  from: { path: `^${folder}/` },
  to: { path: `^(${[...order.slice(index + 1), 'test'].join('|')})/` },
}));
module.exports = {
  forbidden: [
    ...upward,
    {
      name: 'no-cycle',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'services-are-strangers',
      severity: 'error',
      comment: 'the archiver and the restorer share libs, not code',
      from: { path: '^services/restorer/' },
      to: { path: '^services/archiver/' },
    },
    {
      name: 'packages-by-name',
      severity: 'error',
      comment: 'another package is imported by its name, not by a path into it',
      from: { path: '^(libs|services)/([^/]+)/' },
      to: { path: '^(libs|services)/([^/]+)/', pathNot: '^$1/$2/', dependencyTypes: ['local'] },
    },
    {
      name: 'no-test-in-product',
      severity: 'error',
      from: { path: '^(libs|services)/' },
      to: { path: '^test/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/|^build/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['source', 'import', 'node', 'default'],
      extensions: ['.ts', '.js'],
    },
  },
};
