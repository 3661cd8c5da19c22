// Lets a child process of a test run TypeScript sources without a build:
//   node --conditions=source --import ./test/support/ts-hooks.js child.ts
import { register } from 'node:module';

register(
  `data:text/javascript,${encodeURIComponent(`
    import { readFile } from 'node:fs/promises';
    import ts from ${JSON.stringify(import.meta.resolve('typescript'))};

    export async function load(url, context, nextLoad) {
      if (!url.endsWith('.ts')) return nextLoad(url, context);
      const text = await readFile(new URL(url), 'utf8');
      const { outputText } = ts.transpileModule(text, {
        compilerOptions: {
          target: ts.ScriptTarget.ES2022,
          module: ts.ModuleKind.ESNext,
          verbatimModuleSyntax: true,
        },
      });
      return { format: 'module', shortCircuit: true, source: outputText };
    }
  `)}`,
);
