import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { runTidemark, Tidemark, type CliError } from '../support/tidemark-cli.ts';

const ID = 'followed';
const USER = 'replicate';
const SECRET = 'replicate-secret-90c2d1';

let tidemark: Tidemark;
let source: RedisServer;
let admin: Redis;
let passFile: string;

beforeAll(async () => {
  [tidemark, source] = await Promise.all([Tidemark.init(), startRedis({ aof: false })]);
  admin = await source.connect();
  await admin.call('ACL', 'SETUSER', USER, 'on', `>${SECRET}`, ...(await ruleOfReplicate()));
  await admin.set('key', 'value');
  passFile = join(tidemark.dir, 'replicate.pass');
  await writeFile(passFile, `${SECRET}\n`, { mode: 0o600 });
});

afterAll(async () => {
  for (const part of [tidemark, source]) await part[Symbol.asyncDispose]();
});

describe('the user that captures by replication', () => {
  it('needs each right of docs/acl.md, and what is missing is named', async () => {
    const rights = (await ruleOfReplicate()).filter((word) => word.startsWith('+'));
    expect(rights.length).toBeGreaterThan(5);
    for (const right of rights) {
      await admin.call('ACL', 'SETUSER', USER, right.replace('+', '-'));
      const error = errorOf((await add('--pass-file', passFile)).err);
      await admin.call('ACL', 'SETUSER', USER, right);
      const command = right.slice(1).toUpperCase();
      expect([error.code, error.message]).toEqual([
        'TM_NODE_RIGHTS',
        expect.stringMatching(new RegExp(`\\b${command}\\b`)),
      ]);
      expect(error.hint).toMatch(/docs\/acl\.md|ACL SETUSER/);
    }
  });

  it('is refused with a password that is nowhere, and with a wrong one', async () => {
    expect(errorOf((await add('--pass-file', 'env:TIDEMARK_TEST_NONE')).err).code).toBe(
      'TM_CONFIG',
    );
    expect(errorOf((await add('--pass-file', '-')).err).code).toBe('TM_CONFIG');
    process.env['TIDEMARK_TEST_PASS'] = 'wrong';
    expect(errorOf((await add('--pass-file', 'env:TIDEMARK_TEST_PASS')).err).code).toBe(
      'TM_NODE_AUTH',
    );
  });

  it('has enough with them: it captures, and the restored second is right', async () => {
    process.env['TIDEMARK_TEST_PASS'] = SECRET;
    const added = await add('--pass-file', 'env:TIDEMARK_TEST_PASS');
    expect({ code: added.code, err: added.err }).toMatchObject({ code: 0 });
    expect(await readFile(tidemark.config, 'utf8')).toContain('env:TIDEMARK_TEST_PASS');
    const archiver = await tidemark.serve();
    await admin.set('key', 'later');
    const written = Number((await admin.time())[0]);
    await tidemark.untilProven(ID, written);
    // Nobody waits for us, and nobody would promote us.
    expect(await admin.wait(1, 50)).toBe(0);
    await using target = await startRedis({ aof: false });
    const to = `redis://127.0.0.1:${target.port}`;
    const { code, err } = await tidemark.run('restore', ID, '--at', 'latest', '--to', to);
    expect({ code, err }).toMatchObject({ code: 0 });
    expect(await (await target.connect()).get('key')).toBe('later');
    expect(archiver.log).not.toContain(SECRET);
    expect(await archiver.stop()).toBe(0);
  });

  it('is told what the node should grant it', async () => {
    await admin.call('ACL', 'SETUSER', USER, '+config|get');
    await admin.config('SET', 'min-replicas-to-write', '3');
    await admin.config('SET', 'min-replicas-max-lag', '0');
    const { out } = await tidemark.run('doctor', '-o', 'json');
    const { findings } = JSON.parse(out) as { findings: { check: string; detail: string }[] };
    const details = findings.filter(({ check }) => check === `node ${ID}`);
    expect(details.map(({ detail }) => detail).join('\n')).toMatch(/min-replicas-to-write is 3.*4/);
  });

  it('is printed by instance add --print-acl, without a configuration', async () => {
    const args = ['instance', 'add', '--print-acl', '--source', 'psync', '-o', 'json'];
    const { code, out } = await runTidemark(args);
    expect(code).toBe(0);
    const { rules } = JSON.parse(out) as { rules: { role: string; rules: string[] }[] };
    expect(rules.map(({ role }) => role)).toEqual(['replicate', 'restore', 'write-back']);
    const [own, into] = rules.map((rule) => rule.rules);
    for (const rule of [...(own ?? []), ...(into ?? [])]) {
      await admin.call('ACL', ...rule.replace('>PASSWORD', `>${SECRET}`).split(' ').slice(1));
    }
  });

  it('leaves its password in no file but its own', async () => {
    expect((await stat(passFile)).mode & 0o777).toBe(0o600);
    expect(await readFile(tidemark.config, 'utf8')).not.toContain(SECRET);
  });
});

function add(
  ...flags: string[]
): Promise<{ readonly code: number | null; readonly out: string; readonly err: string }> {
  const url = `redis://${USER}@127.0.0.1:${source.port}`;
  const args = ['instance', 'add', ID, '-u', url, '--source', 'psync', '-o', 'json'];
  return tidemark.run(...args, ...flags);
}

function errorOf(err: string): CliError {
  const line = err.trim().split('\n').at(-1) ?? '';
  return (JSON.parse(line) as { readonly error: CliError }).error;
}

async function ruleOfReplicate(): Promise<string[]> {
  const text = await readFile(new URL('../../docs/acl.md', import.meta.url), 'utf8');
  const rule = /ACL SETUSER replicate on >PASSWORD (.*)/.exec(text)?.[1];
  if (rule === undefined) throw new Error('docs/acl.md has no rule for replicate');
  return rule.trim().split(' ');
}
