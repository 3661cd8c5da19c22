import { createConnection } from 'node:net';
import { ERROR_CODES, TidemarkError, type ErrorCode } from '@tidemark/core';
import { CONTROL_LINE_MAX, parseReply, type ControlRequest } from './protocol.ts';

/** How to reach the archiver and how long to wait for its answer. */
export interface CallOptions {
  readonly socketPath: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Asks the running archiver.
 * @returns The result of its answer.
 * @throws TidemarkError `TM_ARCHIVER_DOWN` when none listens, or it ends before it answers (context
 *   `asked`: it may have begun); the code it answered with, or `TM_ARCHIVER_REPLY` when that is not
 *   known here.
 */
export async function callArchiver(
  options: CallOptions,
  method: ControlRequest['method'],
  instance: string | null,
  more: Pick<ControlRequest, 'proof' | 'mode'> = {},
): Promise<unknown> {
  const line = await exchange(options, JSON.stringify({ ...more, id: 1, method, instance }));
  const reply = parseReply(line);
  if (reply === null) {
    throw new TidemarkError(
      'TM_ARCHIVER_REPLY',
      'what answers on the control socket is no archiver',
    );
  }
  if (reply.ok) return reply.result;
  const { code, message, hint } = reply.error;
  const known: ErrorCode = code in ERROR_CODES ? (code as ErrorCode) : 'TM_ARCHIVER_REPLY';
  throw new TidemarkError(known, message, hint === undefined ? {} : { hint });
}

async function exchange(options: CallOptions, line: string): Promise<string> {
  // One that is aborted already says so no more.
  options.signal?.throwIfAborted();
  return new Promise<string>((resolve, reject) => {
    const socket = createConnection(options.socketPath);
    let text = '';
    let asked = false;
    const end = (): void => {
      options.signal?.removeEventListener('abort', aborted);
      socket.destroy();
    };
    const fail = (error: unknown): void => {
      end();
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    const down = (cause?: unknown): TidemarkError =>
      new TidemarkError('TM_ARCHIVER_DOWN', 'no archiver answers on the control socket', {
        cause,
        context: { asked },
        hint: 'start it with: tidemark -c FILE serve archiver',
      });
    const aborted = (): void => fail(options.signal?.reason);
    socket.setTimeout(options.timeoutMs, () => fail(down()));
    options.signal?.addEventListener('abort', aborted, { once: true });
    socket.setEncoding('utf8');
    socket.on('error', (cause) => fail(down(cause)));
    socket.on('close', () => fail(down()));
    socket.on('connect', () => {
      asked = true;
      socket.write(`${line}\n`);
    });
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > CONTROL_LINE_MAX) fail(down());
      const length = text.indexOf('\n');
      if (length < 0) return;
      end();
      resolve(text.slice(0, length));
    });
  });
}
