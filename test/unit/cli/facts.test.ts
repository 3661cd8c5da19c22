import { describe, expect, it } from 'vitest';
import { factsText } from '../../../services/cli/src/commands/facts.ts';
import { shownRules } from '../../../services/control/src/queries/facts.ts';

describe('shownRules()', () => {
  it('shows neither a hash of a password nor what could move a cursor', () => {
    const hash = 'ab'.repeat(32);
    const name = Buffer.from('ü').toString('latin1');
    expect(shownRules(`on #${hash} ~a\x1b* ~${name} &* #${hash}`)).toBe('on #… ~a\\x1b* ~ü &* #…');
  });
});

describe('factsText()', () => {
  const facts = { taken: 'T', node: 'redis 8.0.2', acl: null, config: null };

  it('says of a plan without a target why nothing is named', () => {
    expect(factsText(facts, true)).toEqual([
      'facts of redis 8.0.2, as of T',
      'what would be written of them depends on the target: name it with --to',
    ]);
    expect(factsText(null, true)).toEqual([]);
  });

  it('names what is written and what is left', () => {
    const acl = { written: ['app'], same: 2, left: [{ name: 'default', reason: 'why' }] };
    expect(factsText({ ...facts, acl }, false)).toEqual([
      'facts of redis 8.0.2, as of T',
      'users written: app (2 were the same)',
      '  left: default: why',
    ]);
  });
});
