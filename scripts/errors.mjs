// Writes docs/errors.md from the error table. Run after `make build`: node scripts/errors.mjs
import { writeFileSync } from 'node:fs';
import { ERROR_CODES } from '../libs/core/dist/index.js';

const rows = Object.entries(ERROR_CODES).map(
  ([code, facts]) =>
    `| \`${code}\` | ${facts.exit} | ${facts.retryable ? 'yes' : 'no'} | ${facts.meaning} |`,
);
writeFileSync(
  'docs/errors.md',
  `# Error codes

A code is permanent; its message is not. Made from \`libs/core/src/errors/codes.ts\` by \`node scripts/errors.mjs\`.

| code | exit | retry helps | meaning |
| --- | --- | --- | --- |
${rows.join('\n')}
`,
);
