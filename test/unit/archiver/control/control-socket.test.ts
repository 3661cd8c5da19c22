import { stat, writeFile } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { StoreError, TidemarkError, UsageError } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { callArchiver } from '../../../../services/archiver/src/control/control-client.ts';
import {
  openControlServer,
  type ControlHandler,
} from '../../../../services/archiver/src/control/control-server.ts';
import { TempDir } from '../../../support/temp-dir.ts';

let temp: TempDir;
let path: string;
beforeEach(async () => {
  temp = await TempDir.create();
  path = join(temp.path, 'control.sock');
});
afterEach(() => temp[Symbol.asyncDispose]());

const open = (handler: ControlHandler): Promise<AsyncDisposable> =>
  openControlServer(path, handler);
const call = (method: 'status' | 'roll' = 'status', timeoutMs = 2_000): Promise<unknown> =>
  callArchiver({ socketPath: path, timeoutMs }, method, 'orders');
const echo: ControlHandler = (request) => Promise.resolve(request);

/** Sends raw bytes and gives what came back when the other side ends, or when `lines` are there. */
async function raw(chunks: readonly string[], lines = Infinity): Promise<string> {
  const socket = createConnection(path);
  let text = '';
  return new Promise((resolve) => {
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      if (text.split('\n').length > lines) socket.destroy();
    });
    socket.on('error', () => undefined); // the other side may end first
    socket.on('close', () => resolve(text));
    socket.on('connect', () => {
      void (async () => {
        for (const chunk of chunks) {
          socket.write(chunk);
          await new Promise(setImmediate);
        }
      })();
    });
  });
}

describe('the control socket', () => {
  it('carries requests and results, and is closed to other users', async () => {
    await using server = await open(echo);
    expect(server).toBeDefined();
    expect(await call('roll')).toEqual({ id: 1, method: 'roll', instance: 'orders' });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('carries code, message and hint of an error', async () => {
    const hint = 'add it first';
    await using server = await open(() =>
      Promise.reject(new UsageError('TM_NOT_FOUND', 'no such instance', { hint })),
    );
    expect(server).toBeDefined();
    await expect(call()).rejects.toMatchObject({
      ...{ code: 'TM_NOT_FOUND', exitCode: 10, message: 'no such instance', hint },
    });
  });

  it.each<[string, Error, string]>([
    ['a fault of the program', new TypeError('x is undefined'), 'TM_INTERNAL'],
    ['an error without a hint', new StoreError('TM_STORE_IO', 'away'), 'TM_STORE_IO'],
  ])('answers %s and serves on', async (_, error, code) => {
    let calls = 0;
    await using server = await open((request) =>
      calls++ === 0 ? Promise.reject(error) : echo(request),
    );
    expect(server).toBeDefined();
    await expect(call()).rejects.toMatchObject({ code, message: error.message, hint: undefined });
    expect(await call()).toMatchObject({ method: 'status' });
  });

  it('reads lines however they are cut, and answers each', async () => {
    await using server = await open(({ id }) => Promise.resolve(id));
    expect(server).toBeDefined();
    const lines = [7, 8, 9].map((id) => JSON.stringify({ id, method: 'status', instance: null }));
    const text = `${lines.join('\n')}\n`;
    const replies = await raw([text.slice(0, 11), text.slice(11, 60), text.slice(60)], 3);
    expect(
      replies
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([7, 8, 9].map((id) => ({ id, ok: true, result: id })));
  });

  it('answers what is no request, and ends a line without end', async () => {
    await using server = await open(echo);
    expect(server).toBeDefined();
    const reply = JSON.parse(await raw(['hello\n'], 1)) as { error: { code: string } };
    expect(reply.error.code).toBe('TM_USAGE');
    expect(await raw(Array.from({ length: 5 }, () => 'x'.repeat(300_000)))).toBe('');
    expect(await call()).toMatchObject({ method: 'status' });
  });

  it('takes the place of a file that a dead process left', async () => {
    await writeFile(path, 'left over');
    await using server = await open(echo);
    expect(server).toBeDefined();
    expect(await call()).toMatchObject({ method: 'status' });
  });

  it('is gone when it is closed; who waits for an answer is told', async () => {
    const server = await open(() => new Promise(() => undefined));
    const waiting = call();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const told = expect(waiting).rejects.toMatchObject({ code: 'TM_ARCHIVER_DOWN' });
    await server[Symbol.asyncDispose]();
    await told;
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('says so when its path is too long for a socket', async () => {
    path = join(temp.path, 'x'.repeat(120));
    await expect(open(echo)).rejects.toMatchObject({
      code: 'TM_CONFIG',
      hint: expect.stringContaining('state.dir') as unknown,
    });
  });
});

describe('callArchiver()', () => {
  it('says that no archiver runs, with how to start one', async () => {
    await expect(call()).rejects.toMatchObject({
      ...{ code: 'TM_ARCHIVER_DOWN', exitCode: 16 },
      hint: expect.stringContaining('serve archiver') as unknown,
    });
  });

  it('does not wait longer than it was told to', async () => {
    await using server = await open(() => new Promise(() => undefined));
    expect(server).toBeDefined();
    await expect(call('status', 60)).rejects.toMatchObject({ code: 'TM_ARCHIVER_DOWN' });
  });

  it('ends with the reason of its signal', async () => {
    await using server = await open(() => new Promise(() => undefined));
    expect(server).toBeDefined();
    const abort = new AbortController();
    const options = { socketPath: path, timeoutMs: 2_000, signal: abort.signal };
    const waiting = callArchiver(options, 'status', null);
    const reason = new TidemarkError('TM_CANCELLED', 'cancelled');
    setTimeout(() => abort.abort(reason), 20);
    await expect(waiting).rejects.toBe(reason);
    const late = callArchiver({ ...options, timeoutMs: 120_000 }, 'status', null);
    await expect(late).rejects.toBe(reason); // it is aborted already
  });

  it.each<[string, string, string]>([
    [
      'a code of a newer archiver',
      '{"id":1,"ok":false,"error":{"code":"TM_NEW","message":"m"}}\n',
      'TM_ARCHIVER_REPLY',
    ],
    ['an end without an answer', '', 'TM_ARCHIVER_DOWN'],
    ['a line without end', 'x'.repeat(1_100_000), 'TM_ARCHIVER_DOWN'],
    ['a line that is no answer', 'hello\n', 'TM_ARCHIVER_REPLY'],
    ['an answer of another form', '{"id":1}\n', 'TM_ARCHIVER_REPLY'],
  ])('gives a typed error for %s', async (_, reply, code) => {
    const server = await answering(reply);
    await expect(call()).rejects.toMatchObject({ code });
    await new Promise((resolve) => server.close(resolve));
  });

  async function answering(text: string): Promise<Server> {
    const server = createServer((socket: Socket) => {
      socket.on('error', () => socket.destroy());
      socket.once('data', () => socket.end(text));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return server;
  }
});
