import { EventEmitter } from 'node:events';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { readSecret, secretSource } from '../../../services/workspace/src/config/secret.ts';
import { readTyped } from '../../../services/workspace/src/config/typed-secret.ts';
import { forgetSecrets } from '@tidemark/workspace';
import { keepSecret } from '../../../services/cli/src/commands/keep-secret.ts';
import { TempDir } from '../../support/temp-dir.ts';

const NAME = 'TIDEMARK_TEST_SECRET';

describe('where a password comes from', () => {
  it('makes paths absolute and leaves what is no path', () => {
    expect(secretSource('a.pass', '/etc/tidemark')).toBe('/etc/tidemark/a.pass');
    expect(secretSource('/run/a.pass', '/etc')).toBe('/run/a.pass');
    expect(secretSource('env:A', '/etc')).toBe('env:A');
    expect(secretSource('-', '/etc')).toBe('-');
  });

  it('is the first line of a file', async () => {
    await using temp = await TempDir.create('tidemark-secret-');
    const path = join(temp.path, 'pass');
    await writeFile(path, 'with space \r\nmore\n', { mode: 0o600 });
    expect(await readSecret(path)).toBe('with space ');
    await expect(readSecret(join(temp.path, 'none'))).rejects.toMatchObject({
      code: 'TM_CONFIG',
      message: expect.stringContaining(join(temp.path, 'none')) as unknown,
    });
  });

  it('is no file that others may write, that is large, or that is none', async () => {
    await using temp = await TempDir.create('tidemark-secret-');
    const path = join(temp.path, 'pass');
    const refused = (why: string) =>
      expect(readSecret(path)).rejects.toMatchObject({
        ...{ code: 'TM_CONFIG', message: expect.stringContaining(why) as unknown },
      });
    await writeFile(path, 'hunter2\n');
    for (const mode of [0o620, 0o602, 0o666]) {
      await chmod(path, mode);
      await refused(`mode 0${mode.toString(8)}`);
    }
    for (const mode of [0o400, 0o640, 0o644]) {
      await chmod(path, mode);
      expect(await readSecret(path)).toBe('hunter2');
    }
    await writeFile(path, 'x'.repeat(65_537));
    await refused('64 KiB');
    await expect(readSecret(temp.path)).rejects.toMatchObject({ code: 'TM_CONFIG' });
  });

  it('is an environment variable, which has to hold one', async () => {
    process.env[NAME] = 'of the environment';
    expect(await readSecret(`env:${NAME}`)).toBe('of the environment');
    process.env[NAME] = '';
    await expect(readSecret(`env:${NAME}`)).rejects.toMatchObject({ code: 'TM_CONFIG' });
    Reflect.deleteProperty(process.env, NAME);
    await expect(readSecret(`env:${NAME}`)).rejects.toMatchObject({ code: 'TM_CONFIG' });
  });

  it('is not asked for where there is no terminal', async () => {
    await using temp = await TempDir.create('tidemark-secret-');
    await expect(readSecret('-')).rejects.toMatchObject({ code: 'TM_CONFIG' });
    for (const owner of ['node', 'sentinel'] as const) {
      await expect(keepSecret('-', temp.path, 'one', owner)).rejects.toMatchObject({
        code: 'TM_CONFIG',
      });
    }
  });

  it('is removed with its instance where it was kept, and nowhere else', async () => {
    await using temp = await TempDir.create('tidemark-secret-');
    const dir = join(temp.path, 'instances');
    await mkdir(dir);
    for (const name of ['a.pass', 'a.sentinel.pass', 'a', 'b.pass']) {
      await writeFile(join(dir, name), 'hunter2\n', { mode: 0o600 });
    }
    await forgetSecrets(temp.path, 'a');
    await forgetSecrets(temp.path, 'never-added');
    expect((await readdir(dir)).sort()).toEqual(['a', 'b.pass']);
  });
});

describe('a password that is typed', () => {
  const typing = (): { input: PassThrough; signals: EventEmitter; typed: Promise<string> } => {
    const [input, signals] = [new PassThrough(), new EventEmitter()];
    return { input, signals, typed: readTyped(input, signals) };
  };

  it('ends with the line; backspace takes a character away', async () => {
    const { input, signals, typed } = typing();
    input.write('pä\u007fass');
    input.write('word\rmore');
    expect(await typed).toBe('password');
    expect(signals.eventNames()).toEqual([]);
  });

  it.each<[string, (input: PassThrough, signals: EventEmitter) => void]>([
    ['Ctrl-C', (input) => input.write('pass\u0003')],
    ['SIGTERM', (_, signals) => signals.emit('SIGTERM')],
    ['SIGINT', (_, signals) => signals.emit('SIGINT')],
    ['the end of the input', (input) => input.end('pass')],
    ['a terminal that goes away', (input) => input.destroy()],
  ])('is none after %s', async (_, happen) => {
    const { input, signals, typed } = typing();
    happen(input, signals);
    await expect(typed).rejects.toMatchObject({ code: 'TM_CANCELLED' });
    expect(signals.eventNames()).toEqual([]);
  });
});
