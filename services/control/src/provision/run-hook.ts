import { spawn } from 'node:child_process';
import { NodeError } from '@tidemark/core';

const OUTPUT_BYTES_MAX = 64 * 1024;
const ERRORS_BYTES_KEPT = 2_048;

/** How a hook is run. */
export interface HookRun {
  readonly program: string;
  /** Goes to its standard input as one JSON document. */
  readonly document: unknown;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Runs a program of the user's in a process group of its own: a JSON document in, a JSON document out.
 * When it takes too long, says too much, or the work is called off, the whole group is killed.
 * @returns What it printed.
 * @throws NodeError `TM_PROVISION` with `context.reason`: `start`, `exit`, `timeout`, `output`, `json`; the
 *   signal's reason.
 */
export async function runHook(run: HookRun): Promise<unknown> {
  run.signal.throwIfAborted();
  const text = await outputOf(run);
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw failed('json', 'printed no JSON document', { cause });
  }
}

function outputOf({ program, document, timeoutMs, signal }: HookRun): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [], {
      ...{ detached: true, env: environment() },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const parts: Buffer[] = [];
    let bytes = 0;
    let errors = '';
    const end = (finish: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      if (child.pid !== undefined) killGroup(child.pid);
      // A child of its own that left the group may hold them open.
      child.stdout.destroy();
      child.stderr.destroy();
      child.stdin.destroy();
      finish();
    };
    const fail = (error: Error): void => end(() => reject(error));
    const timer = setTimeout(
      () => fail(failed('timeout', `did not end within ${timeoutMs} ms`, { errors })),
      timeoutMs,
    );
    const abort = (): void => fail(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    child.on('error', (cause) => fail(failed('start', 'could not be started', { cause })));
    child.stdin.on('error', () => undefined); // it need not read what it does not care for
    child.stderr.on('data', (part: Buffer) => {
      errors = (errors + part.toString('utf8')).slice(-ERRORS_BYTES_KEPT);
    });
    child.stdout.on('data', (part: Buffer) => {
      bytes += part.length;
      if (bytes <= OUTPUT_BYTES_MAX) parts.push(part);
      else fail(failed('output', `printed more than ${OUTPUT_BYTES_MAX} bytes`, { errors }));
    });
    const closed = (code: number | null, killedBy: string | null): void => {
      if (code === 0) end(() => resolve(Buffer.concat(parts).toString('utf8')));
      else fail(failed('exit', `ended with ${killedBy ?? String(code)}`, { errors }));
    };
    child.on('exit', (code, killedBy) => {
      if (child.stdout.closed) {
        closed(code, killedBy);
        return;
      }
      // What it printed may still be on the way; what it left running may keep the pipe for ever.
      const late = setTimeout(() => closed(code, killedBy), 1_000);
      child.stdout.once('close', () => {
        clearTimeout(late);
        closed(code, killedBy);
      });
    });
    child.stdin.end(`${JSON.stringify(document)}\n`);
  });
}

/** What a program needs to run, and none of the credentials that ours was given. */
function environment(): Record<string, string> {
  const passed = ['PATH', 'HOME', 'LANG'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return Object.fromEntries(passed);
}

function failed(
  reason: 'start' | 'exit' | 'timeout' | 'output' | 'json',
  what: string,
  { errors = '', cause }: { readonly errors?: string; readonly cause?: unknown } = {},
): NodeError {
  const said = errors
    .trim()
    .replace(/\p{Cc}+/gu, ' ')
    .slice(-300);
  return new NodeError('TM_PROVISION', `the hook ${what}`, {
    context: { reason },
    ...(cause === undefined ? {} : { cause }),
    hint: said === '' ? 'see [clone] hook in docs/clone.md' : `it said: ${said}`,
  });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of it has ended.
  }
}
