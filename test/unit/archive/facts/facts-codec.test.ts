import { readFileSync } from 'node:fs';
import { FACTS_RAW_MAX, factsJson, packFacts, splitSecrets, unpackFacts } from '@tidemark/archive';
import { FormatError, UsageError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { FACTS } from '../../../support/node-facts.ts';

const pack = (json: string): Buffer => packFacts(Buffer.from(json, 'utf8'));
const fixture = new URL('../../../fixtures/archive/facts-v1.bin', import.meta.url);

function fault(bytes: Buffer): unknown {
  try {
    return unpackFacts(bytes);
  } catch (error) {
    return error;
  }
}

describe('node facts', () => {
  it('come back as they were written, bytes that are no UTF-8 too', () => {
    expect(unpackFacts(packFacts(factsJson(FACTS)))).toEqual(FACTS);
    const denied = {
      ...FACTS,
      ...{ modules: null, commands: null, config: null, acl: null, secrets: [] },
      unread: [{ part: 'acl', code: 'TM_NODE_RIGHTS' } as const],
    };
    expect(unpackFacts(packFacts(factsJson(denied)))).toEqual(denied);
  });

  it('of version 1 are read', () => {
    expect(unpackFacts(readFileSync(fixture))).toEqual(FACTS);
  });

  it('are the same bytes in whatever order the node told them', () => {
    const turned = {
      ...FACTS,
      commands: [...(FACTS.commands ?? [])].reverse(),
      acl: [...(FACTS.acl ?? [])].reverse(),
      config: Object.fromEntries(Object.entries(FACTS.config ?? {}).reverse()),
    };
    expect(factsJson(turned)).toEqual(factsJson(FACTS));
  });

  it('never hold the value of a secret, written or read', () => {
    const leaky = { ...FACTS, config: { requirepass: 'hunter2' } };
    expect(() => factsJson(leaky)).toThrow(UsageError);
    const forged = factsJson(FACTS).toString('utf8').replace('"maxmemory"', '"masterauth"');
    expect(fault(pack(forged))).toMatchObject({
      code: 'TM_FACTS_FORMAT',
      context: { field: 'config' },
    });
  });

  it.each([
    'requirepass',
    'masterauth',
    'primaryauth',
    'tls-key-file-pass',
    'tls-client-key-file-pass',
    'ldap.search_bind_passwd',
    'module.api_key',
  ])('%s is a secret', (name) => {
    expect(splitSecrets({ [name]: 'x' })).toEqual({ config: {}, secrets: [name] });
    expect(splitSecrets({ [name]: '' })).toEqual({ config: {}, secrets: [] });
  });

  it.each(['tls-auth-clients', 'masteruser', 'maxmemory', 'tls-key-file', 'acl-pubsub-default'])(
    '%s is none',
    (name) => {
      expect(splitSecrets({ [name]: 'x' })).toEqual({ config: { [name]: 'x' }, secrets: [] });
    },
  );

  it('are refused at every truncation, with an offset', () => {
    const whole = packFacts(factsJson(FACTS));
    for (let length = 0; length < whole.length; length++) {
      const error = fault(whole.subarray(0, length));
      expect(error).toBeInstanceOf(FormatError);
      expect(error).toMatchObject({ code: 'TM_FACTS_FORMAT' });
      expect((error as FormatError).context['offset']).toBeLessThanOrEqual(length);
    }
  });

  it('are read or refused, never anything else, with any byte changed', () => {
    const whole = packFacts(factsJson(FACTS));
    for (let at = 0; at < whole.length; at++) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ 0x41;
      const found = fault(changed);
      if (found instanceof Error) expect(found).toBeInstanceOf(FormatError);
    }
  });

  it.each([
    ['bytes behind the end', Buffer.concat([pack('{}'), Buffer.of(0)]), /after the end/],
    ['another version', Buffer.from(pack('{}')).fill(2, 8, 9), /version 2/],
    ['something else', Buffer.from('REDIS0011'), /no node facts/],
    ['no JSON', pack('{'), /not JSON/],
    ['a list', pack('[]'), /not an object/],
    ['an unknown product', pack('{"product":"x"}'), /product is not known/],
    ['deep nesting', pack('['.repeat(200_000)), /not JSON/],
  ])('%s is refused', (_, bytes, reason) => {
    expect(fault(bytes)).toMatchObject({ code: 'TM_FACTS_FORMAT' });
    expect((fault(bytes) as Error).message).toMatch(reason);
  });

  it.each([
    ['modules', { modules: [{ name: 'a', version: 1.5 }] }],
    ['commands', { commands: [{ name: 'get' }] }],
    ['commands', { commands: Array(20_001).fill({}) }],
    ['config', { config: { maxmemory: 1 } }],
    ['acl', { acl: [{ name: 'a', rules: '\u0100' }] }],
    ['unread', { unread: [{ part: 'all', code: 'TM_NODE_RIGHTS' }] }],
    ['secrets', { secrets: 'requirepass' }],
  ])('a wrong %s is refused by its name', (field, wrong) => {
    expect(fault(pack(JSON.stringify({ ...FACTS, ...wrong })))).toMatchObject({
      code: 'TM_FACTS_FORMAT',
      context: { field },
    });
  });

  it('of more than 4 MiB are not written, and a claim of more is not unpacked', () => {
    const rules = 'x'.repeat(FACTS_RAW_MAX);
    expect(() => factsJson({ ...FACTS, acl: [{ name: 'a', rules }] })).toThrow(UsageError);
    const five = packFacts(Buffer.alloc(5 * 1_048_576, 0x20));
    expect(fault(five)).toMatchObject({ code: 'TM_FACTS_FORMAT', message: 'too many frames' });
  });
});
