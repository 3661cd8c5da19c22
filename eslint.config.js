import tseslint from 'typescript-eslint';
import tsdoc from 'eslint-plugin-tsdoc';

const banned = (names, message) => names.map((name) => ({ name, message }));
const ioModules = [
  'node:fs',
  'node:fs/promises',
  'node:net',
  'node:tls',
  'node:http',
  'node:child_process',
  'node:worker_threads',
  'node:timers/promises',
];

/** Folders whose code does no I/O and reads no clock (docs/adr/0003). */
const sansIo = [
  'libs/core/src/**',
  'libs/resp/src/**',
  'libs/selector/src/**',
  'libs/rdb/src/**',
  'libs/aof/src/{manifest,decoder,annotations,commands}/**',
  'libs/crypto/src/{container,frames,log-auth}/**',
  'libs/archive/src/**',
  'libs/catalog/src/model/**',
];

export default tseslint.config(
  { ignores: ['**/dist/**', 'build/**', '.cache/**', '**/node_modules/**'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: {
          allowDefaultProject: ['*.js', '*.ts', 'services/cli/bin/*.js', '.dependency-cruiser.cjs'],
        },
      },
    },
    plugins: { tsdoc },
    rules: {
      'tsdoc/syntax': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/return-await': ['error', 'in-try-catch'],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true } }],
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportAllDeclaration', message: 'Name what is exported (rule R7).' },
      ],
      'max-params': ['error', 5],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
      ],
    },
  },
  {
    files: sansIo,
    rules: {
      'no-restricted-imports': [
        'error',
        { paths: banned(ioModules, 'This folder does no I/O (docs/adr/0003).') },
      ],
      'no-restricted-globals': [
        'error',
        ...banned(
          ['process', 'console', 'setTimeout', 'setInterval', 'fetch'],
          'This folder does no I/O (docs/adr/0003).',
        ),
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'Take a Clock (docs/adr/0003).' },
        { object: 'Math', property: 'random', message: 'Take a Random (docs/adr/0003).' },
      ],
    },
  },
  {
    files: ['test/**/*.ts', '*.config.{js,ts}', 'scripts/**/*.ts'],
    rules: {
      'max-params': 'off',
      'no-restricted-exports': 'off',
      '@typescript-eslint/explicit-module-boundary-types': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/restrict-template-expressions': 'off',
    },
  },
  { files: ['**/*.{js,cjs,mjs}', '*.config.ts'], ...tseslint.configs.disableTypeChecked },
);
