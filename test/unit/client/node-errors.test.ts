import { describe, expect, it } from 'vitest';
import { connectionError, nodeError } from '../../../libs/client/src/node-errors.ts';

const PLACE = { node: 'redis://127.0.0.1:1', command: 'PING' };

describe('what a server says', () => {
  it.each([
    ['ERR \u001b[2Jgone\u0007\r\nerror[0]: fine\u009b1A', 'TM_NODE_REPLY'],
    [
      "NOPERM the user has no permissions to run the '\u001b]0;x\u0007get' command",
      'TM_NODE_RIGHTS',
    ],
  ])('is told without what moves a cursor or ends a line: %j', (message, code) => {
    const reply = Object.assign(new Error(message), { name: 'ReplyError' });
    const errors = [nodeError(reply, PLACE), connectionError(new Error(message), PLACE)];
    expect(errors[0]?.code).toBe(code);
    for (const error of errors) {
      const said = [error.message, error.hint ?? '', ...Object.values(error.context)].join(' ');
      expect(said).not.toMatch(/\p{Cc}/u);
    }
    expect(errors[0]?.context['reply']).toBe(message.replaceAll(/\p{Cc}/gu, ''));
  });
});
