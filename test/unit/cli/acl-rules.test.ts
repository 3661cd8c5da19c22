import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { ACL_RULES } from '../../../services/cli/src/commands/acl-rules.ts';

async function rulesOf(page: string): Promise<string[]> {
  const text = await readFile(new URL(`../../../docs/${page}`, import.meta.url), 'utf8');
  return [...text.matchAll(/^ {4}(ACL SETUSER .*)$/gm)].map(([, rule = '']) => rule);
}

describe('the printed users', () => {
  it('are those of the documentation', async () => {
    const documented = [...(await rulesOf('acl.md')), ...(await rulesOf('sentinel.md'))];
    const printed = ACL_RULES.flatMap(({ rules }) => rules);
    expect([...printed].sort()).toEqual([...documented].sort());
  });

  it('have one user for each role', () => {
    const roles = ACL_RULES.map(({ role }) => role);
    expect(new Set(roles).size).toBe(roles.length);
  });
});
