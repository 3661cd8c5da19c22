import { AofLogCheck, type AofLogFacts } from '@tidemark/aof';
import { describe, expect, it } from 'vitest';
import { command, log } from '../../support/command-log.ts';

function facts(bytes: Buffer, origin = 0): AofLogFacts {
  const check = new AofLogCheck(origin);
  check.push(bytes);
  return check.end();
}

const STAMP = Buffer.from('#TS:1750000000\r\n');

describe('AofLogCheck', () => {
  it('counts commands, transactions and annotations of a whole log', () => {
    const commands = log('SELECT 3', 'MULTI', 'SET a b', 'EXEC', 'DEL a');
    const bytes = Buffer.concat([
      STAMP,
      commands,
      Buffer.from('#XX:1\r\n#TS:1750000009\r\n'),
      log('PING'),
    ]);
    expect(facts(bytes, 100)).toEqual({
      bytes: bytes.length,
      commandBytes: commands.length + log('PING').length,
      commands: 6,
      transactions: 1,
      annotations: {
        seconds: 2,
        unknown: 1,
        firstUnknownAt: 100 + STAMP.length + commands.length,
      },
      firstSecond: 1_750_000_000,
      lastSecond: 1_750_000_009,
      stepsBack: 0,
      wholeTo: 100 + bytes.length,
      fault: null,
    });
  });

  it('counts seconds that go back', () => {
    const bytes = Buffer.from('#TS:9\r\n#TS:5\r\n#TS:7\r\n#TS:6\r\n');
    expect(facts(bytes)).toMatchObject({
      firstSecond: 9,
      lastSecond: 6,
      stepsBack: 2,
      commands: 0,
    });
  });

  it('finds an empty log whole', () => {
    expect(facts(Buffer.alloc(0))).toMatchObject({
      bytes: 0,
      commands: 0,
      wholeTo: 0,
      fault: null,
    });
  });

  it('gives the offset of a torn command in the file, behind annotations', () => {
    const whole = Buffer.concat([STAMP, log('SET a b'), STAMP]);
    const found = facts(Buffer.concat([whole, log('SET a bcd').subarray(0, -4)]), 7);
    expect(found).toMatchObject({ commands: 1, wholeTo: 7 + whole.length });
    expect(found.fault).toMatchObject({
      kind: 'torn',
      code: 'TM_AOF_TRUNCATED',
      offset: 7 + whole.length,
    });
  });

  it('gives the offset of garbage behind annotations of the same push', () => {
    const whole = Buffer.concat([STAMP, log('SET a b'), STAMP]);
    const found = facts(Buffer.concat([whole, Buffer.from('x')]));
    expect(found.fault).toMatchObject({
      kind: 'garbage',
      code: 'TM_AOF_PROTOCOL',
      offset: whole.length,
    });
    expect(found).toMatchObject({ commands: 1, wholeTo: whole.length });
  });

  it('keeps nothing of a MULTI whose EXEC is missing', () => {
    const whole = log('SET a b');
    const open = Buffer.concat([whole, STAMP, log('MULTI', 'SET c d')]);
    const expected = {
      kind: 'open-multi',
      code: 'TM_AOF_TRUNCATED',
      offset: whole.length + STAMP.length,
    };
    expect(facts(open).fault).toMatchObject(expected);
    const torn = facts(Buffer.concat([open, log('EXEC').subarray(0, 5)]));
    expect(torn.wholeTo).toBe(expected.offset);
    expect(torn.fault).toMatchObject({ kind: 'torn', offset: open.length });
  });

  it.each([
    ['a MULTI inside a MULTI', log('PING', 'MULTI', 'multi', 'EXEC'), log('PING', 'MULTI')],
    ['an EXEC without a MULTI', log('PING', 'Exec'), log('PING')],
  ])('refuses %s', (message, bytes, before) => {
    const { fault } = facts(bytes);
    const expected = { kind: 'garbage', code: 'TM_AOF_PROTOCOL', offset: before.length };
    expect(fault).toEqual({ message, ...expected });
  });

  it('stops at the first fault and counts what stands before it', () => {
    const check = new AofLogCheck();
    check.push(Buffer.concat([log('SET a b', 'EXEC'), STAMP, log('SET c d')]));
    check.push(Buffer.from('garbage'));
    const found = check.end();
    expect(found.fault).toMatchObject({ offset: log('SET a b').length });
    expect(found).toMatchObject({ commands: 1, firstSecond: null });
  });

  it('refuses a length over the limit at its place in the file', () => {
    const bytes = Buffer.concat([STAMP, command('PING'), Buffer.from('*1\r\n$999999999\r\n')]);
    expect(facts(bytes).fault).toMatchObject({
      kind: 'garbage',
      code: 'TM_AOF_LIMIT',
      offset: bytes.indexOf('$999'),
    });
  });
});
