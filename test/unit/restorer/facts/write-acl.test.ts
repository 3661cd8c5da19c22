import type { NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { writeAcl } from '../../../../services/restorer/src/facts/write-acl.ts';
import { FACTS } from '../../../support/node-facts.ts';

const HASH = `#${'ab'.repeat(32)}`;

/** The few calls that writing users makes. */
function target(
  own: string,
  lines: readonly string[],
  refusal: NodeError | null = null,
): { readonly client: NodeClient; readonly set: string[] } {
  const set: string[] = [];
  const client = {
    isOpen: true,
    callBuffer: () => Promise.resolve(lines.map((line) => Buffer.from(line, 'latin1'))),
    call: (_: string, what: string, ...args: readonly Buffer[]) => {
      if (what === 'WHOAMI') return Promise.resolve(own);
      set.push(args.map((word) => word.toString('latin1')).join(' '));
      return refusal === null ? Promise.resolve('OK') : Promise.reject(refusal);
    },
  };
  return { client: client as unknown as NodeClient, set };
}

function refused(reply: string, code: 'TM_NODE_REPLY' | 'TM_NODE_RIGHTS'): NodeError {
  return new NodeError(code, 'refused', { context: { reply } });
}

const acl = (...users: readonly (readonly [string, string])[]): typeof FACTS => ({
  ...FACTS,
  acl: users.map(([name, rules]) => ({ name, rules })),
});
const WRITE = { defaultUser: false, write: true };

describe('writeAcl()', () => {
  it('writes the bytes of every rule; a user that is there is reset first', async () => {
    const rules = `on ${HASH} ~\u00ff* resetchannels -@all +get (%R~x -@all +set)`;
    const { client, set } = target('admin', ['user bob off']);
    const { written } = await writeAcl(acl(['alice', rules], ['bob', 'on nopass']), client, WRITE);
    expect(written).toEqual(['alice', 'bob']);
    expect(set).toEqual([`alice ${rules}`, 'bob reset on nopass']);
  });

  it('leaves what is the same, with or without the flag that is the default', async () => {
    const { client, set } = target('admin', ['user a on sanitize-payload ~* +@all', 'user b off']);
    const facts = acl(['a', 'on ~* +@all'], ['b', 'off']);
    expect(await writeAcl(facts, client, WRITE)).toEqual({ written: [], same: 2, left: [] });
    expect(set).toEqual([]);
  });

  it('never touches the user of its own connection, nor "default" unasked', async () => {
    const facts = acl(['admin', 'off'], ['default', 'off']);
    const { client, set } = target('admin', []);
    const { left } = await writeAcl(facts, client, WRITE);
    expect(left.map(({ name }) => name)).toEqual(['admin', 'default']);
    await writeAcl(facts, client, { ...WRITE, defaultUser: true });
    expect(set).toEqual(['default off']);
    const same = target('default', []);
    const own = await writeAcl(facts, same.client, { ...WRITE, defaultUser: true });
    expect(own.left.map(({ name }) => name)).toEqual(['default']);
    expect(same.set).toEqual(['admin off']);
  });

  it('gives users of Redis 6.0 all channels, which it did not limit', async () => {
    const { client, set } = target('admin', []);
    await writeAcl({ ...acl(['a', 'on ~* +@all']), version: '6.0.16' }, client, WRITE);
    expect(set).toEqual(['a on ~* +@all allchannels']);
  });

  it.each([
    ["ERR Error in ACL SETUSER modifier '+hexpire': Unknown command", /rule \+hexpire$/],
    [
      `ERR Error in ACL SETUSER modifier '${HASH}': The password hash`,
      /^the target refuses its rules$/,
    ],
    ["ERR Error in ACL SETUSER modifier '~secret:*': …", /^the target refuses its rules$/],
  ])('says why a user was refused, and no more than a command of it: %s', async (reply, reason) => {
    const { client } = target('admin', [], refused(reply, 'TM_NODE_REPLY'));
    const { written, left } = await writeAcl(acl(['a', 'on']), client, WRITE);
    expect(written).toEqual([]);
    expect(left[0]?.reason).toMatch(reason);
  });

  it('names users with bytes that could move a cursor escaped', async () => {
    const { client } = target('admin', [], refused('NOPERM', 'TM_NODE_RIGHTS'));
    const { left } = await writeAcl(acl(['a\u001b\u00ff\\', 'on']), client, WRITE);
    expect(left).toEqual([{ name: 'a\\x1b\\xff\\x5c', reason: 'the target denies ACL SETUSER' }]);
  });

  it('writes nothing when it is only to say what it would do', async () => {
    const { client, set } = target('admin', []);
    const { written } = await writeAcl(acl(['a', 'on']), client, { ...WRITE, write: false });
    expect(written).toEqual(['a']);
    expect(set).toEqual([]);
  });
});
