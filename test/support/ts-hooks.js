// Lets a child process of a test run TypeScript sources without a build:
//   node --conditions=source --import ./test/support/ts-hooks.js child.ts
// What a file becomes is kept in build/ts-children, by its text: a test may start ten children, and
// the compiler needs seconds for the files of one.
import { register } from 'node:module';

register(
  `data:text/javascript,${encodeURIComponent(`
    import { createHash } from 'node:crypto';
    import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
    import { fileURLToPath } from 'node:url';

    const kept = fileURLToPath(${JSON.stringify(new URL('../../build/ts-children/', import.meta.url).href)});
    const compiler = ${JSON.stringify(import.meta.resolve('typescript'))};
    const options = { target: 'ES2022', module: 'ESNext', verbatimModuleSyntax: true };
    const { version } = JSON.parse(readFileSync(new URL('../package.json', compiler), 'utf8'));
    const settings = JSON.stringify([version, options]);

    export async function load(url, context, nextLoad) {
      if (!url.endsWith('.ts')) return nextLoad(url, context);
      return { format: 'module', shortCircuit: true, source: await compiled(new URL(url)) };
    }

    async function compiled(file) {
      const text = readFileSync(file, 'utf8');
      const path = kept + createHash('sha256').update(settings).update(text).digest('hex') + '.js';
      try {
        return readFileSync(path, 'utf8');
      } catch (error) {
        if (error.code !== 'ENOENT') throw error;
      }
      const { default: ts } = await import(compiler);
      const { outputText } = ts.transpileModule(text, { compilerOptions: options });
      mkdirSync(kept, { recursive: true });
      // Several children may make the same one: each is whole before it has its name.
      const own = path + '.' + process.pid + '.' + Math.random();
      writeFileSync(own, outputText);
      renameSync(own, path);
      return outputText;
    }
  `)}`,
);
