import { expect, it } from 'vitest';
import { cliActor } from '../../../services/cli/src/commands/cli-actor.ts';

it('names who runs a command by letters that the audit takes, and a user without a name by its number', () => {
  expect(cliActor(() => ({ username: 'ann bee' }))).toEqual({ name: 'ann_bee', via: 'cli' });
  expect(cliActor(() => ({ username: '' })).name).toBe('unknown');
  const unnamed = (): never => {
    throw new Error('uv_os_get_passwd returned ENOENT (no such file or directory)');
  };
  expect(cliActor(unnamed)).toEqual({ name: `uid-${process.getuid?.() ?? ''}`, via: 'cli' });
});
