import { describe, expect, it } from 'vitest';
import { Handshake, type HandshakeStep } from '../../../libs/replication/src/feed/handshake.ts';

const start = () => new Handshake({ user: 'feed', password: 'one-time-password' });
const send = (handshake: Handshake, ...args: string[]): HandshakeStep =>
  handshake.take(args.map((arg) => Buffer.from(arg)));
const replyTo = (handshake: Handshake, ...args: string[]): string =>
  send(handshake, ...args).reply?.toString() ?? '';
const authenticated = (): Handshake => {
  const handshake = start();
  expect(replyTo(handshake, 'auth', 'feed', 'one-time-password')).toBe('+OK\r\n');
  return handshake;
};

describe('Handshake', () => {
  it.each([['PING'], ['REPLCONF', 'capa', 'eof'], ['PSYNC', '?', '-1'], ['SYNC'], ['INFO']])(
    'answers %s before AUTH with -NOAUTH only',
    (...args) => {
      expect(send(start(), ...args)).toEqual({
        reply: Buffer.from('-NOAUTH Authentication required.\r\n'),
        refused: false,
        request: null,
      });
    },
  );

  it.each([
    ['another password', ['AUTH', 'feed', 'one-time-passworD']],
    ['a longer password', ['AUTH', 'feed', 'one-time-password1']],
    ['another user', ['AUTH', 'default', 'one-time-password']],
    ['no user', ['AUTH', 'one-time-password']],
    ['nothing', ['AUTH']],
    ['too much', ['AUTH', 'feed', 'one-time-password', 'x']],
  ])('refuses AUTH with %s and closes', (_name, args) => {
    const handshake = start();
    const step = send(handshake, ...args);
    expect(step.refused).toBe(true);
    expect(step.reply?.toString()).toMatch(/^-WRONGPASS /);
    expect(handshake.authenticated).toBe(false);
  });

  it('reads what the server announces and asks for', () => {
    const handshake = authenticated();
    expect(replyTo(handshake, 'PING')).toBe('+PONG\r\n');
    expect(replyTo(handshake, 'REPLCONF', 'listening-port', '6380')).toBe('+OK\r\n');
    expect(replyTo(handshake, 'REPLCONF', 'capa', 'eof', 'capa', 'psync2')).toBe('+OK\r\n');
    expect(replyTo(handshake, 'REPLCONF', 'version', '9.1.2')).toBe('+OK\r\n');
    expect(send(handshake, 'PSYNC', 'ab'.repeat(20), '124').request).toEqual({
      replicationId: 'ab'.repeat(20),
      offset: 123n,
      eof: true,
      psync2: true,
    });
  });

  it('takes "PSYNC ? -1" as having nothing, and no announcement as no capability', () => {
    expect(send(authenticated(), 'psync', '?', '-1').request).toEqual({
      replicationId: '?',
      offset: null,
      eof: false,
      psync2: false,
    });
  });

  it.each([
    ['no offset', ['PSYNC', '?']],
    ['an offset that is no number', ['PSYNC', '?', 'x']],
    ['an offset of 30 digits', ['PSYNC', '?', '1'.repeat(30)]],
    ['an id that is too long', ['PSYNC', 'a'.repeat(41), '1']],
  ])('refuses PSYNC with %s', (_name, args) => {
    expect(send(authenticated(), ...args)).toMatchObject({ refused: true, request: null });
  });

  it('does not answer REPLCONF ACK, and answers unknown commands with an error', () => {
    const handshake = authenticated();
    expect(send(handshake, 'REPLCONF', 'ACK', '5').reply).toBeNull();
    expect(replyTo(handshake, 'SYNC')).toMatch(/^-ERR /);
  });

  it('ends after 64 commands', () => {
    const handshake = authenticated();
    for (let i = 1; i < 64; i++) expect(send(handshake, 'PING').refused).toBe(false);
    expect(send(handshake, 'PING').refused).toBe(true);
  });
});
