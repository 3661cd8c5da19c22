import { spawn } from 'node:child_process';
import { TidemarkError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { FeederLink } from '../../../../services/restorer/src/feeder/process/feeder-link.ts';
import type { Task } from '../../../../services/restorer/src/feeder/process/protocol.ts';

const GIVES: Task = { do: 'gives' };
/** Answers each line with the number of its task. */
const ECHO = `require('readline').createInterface({ input: process.stdin })
  .on('line', (line) => console.log(JSON.stringify({ id: JSON.parse(line).id, result: true })))
  .on('close', () => process.exit(0));`;

/** A link to a program that is no feeding process. */
function linkTo(program: string, signal = new AbortController().signal): FeederLink {
  const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'pipe'] });
  return new FeederLink(child, { signal, onProgress: () => undefined });
}
async function errorOf(work: Promise<unknown>): Promise<TidemarkError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof TidemarkError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('FeederLink', () => {
  it('asks and is answered, and has the process end', async () => {
    const link = linkTo(ECHO);
    expect(await Promise.all([link.call(GIVES), link.call(GIVES)])).toEqual([true, true]);
    await link.settle({ do: 'unfeed' });
    expect(await link.call(GIVES)).toBe(true);
    await link.end();
    expect(await errorOf(link.call(GIVES))).toMatchObject({ code: 'TM_FEEDER' });
  });

  it('tells how the process ended, and what it said last', async () => {
    const link = linkTo(
      'process.stdin.once("data", () => { console.error("no room"); process.exit(7); })',
    );
    const [first, second] = await Promise.all([
      errorOf(link.call(GIVES)),
      errorOf(link.call(GIVES)),
    ]);
    expect(first).toMatchObject({
      code: 'TM_FEEDER',
      exitCode: 1,
      context: { code: 7, signal: null, said: 'no room' },
    });
    expect(second).toBe(first);
    expect(await errorOf(link.call(GIVES))).toBe(first);
  });

  it('ends a process that says what is not understood', async () => {
    const link = linkTo('console.log("hello"); setInterval(() => undefined, 1000);');
    expect(await errorOf(link.call(GIVES))).toMatchObject({
      code: 'TM_FEEDER',
      message: expect.stringContaining('not understood') as unknown,
    });
    await link.end();
  });

  it('refuses with the reason of its signal, and the process is gone', async () => {
    const stop = new AbortController();
    const link = linkTo(ECHO.replace(`'line'`, `'none'`), stop.signal);
    const waiting = errorOf(link.call(GIVES));
    const reason = new TidemarkError('TM_CANCELLED', 'cancelled');
    stop.abort(reason);
    expect(await waiting).toBe(reason);
    await link.settle({ do: 'unfeed' });
    expect(() => process.kill(link.pid, 0)).toThrow(expect.objectContaining({ code: 'ESRCH' }));
  });

  it('answers what is asked, with the error of who was asked', async () => {
    const link = linkTo(`let id = 0;
      require('readline').createInterface({ input: process.stdin })
        .on('line', (line) => {
          const { id: task, asked, ...answer } = JSON.parse(line);
          if (asked !== undefined) console.log(JSON.stringify({ id, result: answer }));
          else {
            id = task;
            console.log(JSON.stringify({ ask: 1, command: 'FT.ADD' }));
          }
        })
        .on('close', () => process.exit(0));`);
    link.answerWith((name) => Promise.resolve(name === 'FT.ADD'));
    expect(await link.call(GIVES)).toEqual({ knows: true });
    link.answerWith(() => Promise.reject(new TidemarkError('TM_TARGET_LOST', 'it left')));
    expect(await link.call(GIVES)).toMatchObject({ error: { code: 'TM_TARGET_LOST' } });
    await link.end();
  });
});
