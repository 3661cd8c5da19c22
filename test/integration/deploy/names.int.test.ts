import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '@tidemark/workspace';
import { describe, expect, it } from 'vitest';
import { commandTree } from '../../support/cli-program.ts';
import {
  commandLines,
  configKeys,
  filesBelow,
  ROOT,
  unknownKeys,
  unknownName,
} from '../../support/deploy-files.ts';

const texts = [
  ...filesBelow('docs', /\.md$/).filter(({ path }) => !path.startsWith('docs/adr/')),
  { path: 'README.md', text: readFileSync(join(ROOT, 'README.md'), 'utf8') },
];

describe('what documents and deployments name', () => {
  it('is a command or an option of the program', () => {
    const root = commandTree();
    let checked = 0;
    for (const { path, text } of texts) {
      for (const line of commandLines(text)) {
        expect(unknownName(line, root), `${path}: ${line}`).toBeNull();
        checked += 1;
      }
    }
    expect(checked).toBeGreaterThan(80);
    expect(unknownName('tidemark windows orders --no-such', root)).not.toBeNull();
    expect(unknownName('tidemark no-such orders', root)).not.toBeNull();
    expect(unknownName('tidemark backup no-such', root)).not.toBeNull();
  });

  it('is a setting of the configuration', async () => {
    let checked = 0;
    for (const { path, text } of [...texts, ...filesBelow('deploy')]) {
      for (const [, section = '', key = ''] of text.matchAll(
        /(?<!\[)\[([a-z]+)\] ([a-z_]{3,})(?= =|`| names|,)/g,
      )) {
        const keys = configKeys(section);
        if (keys === null) continue;
        expect(keys, `${path}: [${section}] ${key}`).toContain(key);
        checked += 1;
      }
      for (const [, toml = ''] of text.matchAll(/```toml\n([\s\S]*?)```/g)) {
        expect(unknownKeys(toml), path).toEqual([]);
        checked += 1;
      }
    }
    expect(checked).toBeGreaterThan(10);
    for (const { path } of filesBelow('deploy', /\.toml$/)) {
      const { instances } = await loadConfig(join(ROOT, path));
      expect(instances.map(({ id }) => id)).toEqual(['orders']);
    }
    expect(unknownKeys('[archiver]\nno_such = 1\n[nothing]\na = 1')).toEqual([
      '[archiver] no_such',
      '[nothing]',
    ]);
  });
});
