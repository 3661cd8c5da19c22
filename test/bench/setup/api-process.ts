import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Tidemark } from './tidemark.ts';

const PROGRAM = fileURLToPath(new URL('../../../../services/cli/bin/tidemark.js', import.meta.url));
const LISTENING = /"address":"(http:[^"]+)"/;

/** A server of the API in a process of its own, over a workspace that was filled beforehand. */
export class ApiProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #url: string;
  readonly #tokens: readonly string[];
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });

  private constructor(child: ChildProcess, url: string, tokens: readonly string[]) {
    this.#child = child;
    this.#url = url;
    this.#tokens = tokens;
  }

  /**
   * @param dir - Folder of the workspace.
   * @param callers - How many tokens there are; requests take turns with them.
   * @param fill - Writes into store and ring before the server starts.
   */
  static async start(
    dir: string,
    callers: number,
    fill: (folders: { readonly store: string; readonly ring: string }) => Promise<void>,
  ): Promise<ApiProcess> {
    const tidemark = await Tidemark.initEmpty(dir);
    await fill({ store: join(dir, 'store'), ring: join(dir, 'ring') });
    const tokens: string[] = [];
    for (let at = 0; at < callers; at++) {
      const name = `caller-${at.toString()}`;
      const made = await tidemark.run<{ token: string }>(
        'token',
        'create',
        name,
        '--scope',
        'read',
      );
      tokens.push(made.document.token);
    }
    const args = ['-c', tidemark.config, 'serve', 'api', '--listen', '127.0.0.1:0', '--no-workers'];
    const child = spawn(process.execPath, [PROGRAM, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let log = '';
    const url = await new Promise<string>((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        log = (log + text).slice(-4_000);
        const [, address] = LISTENING.exec(log) ?? [];
        if (address !== undefined) resolve(address);
      });
      child.once('exit', (code) => reject(new Error(`the API ended with ${code}: ${log}`)));
    });
    return new ApiProcess(child, url, tokens);
  }

  /** Asks with the token whose turn it is; the answer must be a 200, and is read to its end. */
  async ask(path: string, turn = 0): Promise<void> {
    const token = this.#tokens[turn % this.#tokens.length] ?? '';
    await new Promise<void>((resolve, reject) => {
      const headers = { authorization: `Bearer ${token}` };
      const request = get(`${this.#url}${path}`, { agent: this.#agent, headers }, (answer) => {
        answer.resume();
        answer.once('error', reject);
        answer.once('end', () => {
          if (answer.statusCode === 200) resolve();
          else reject(new Error(`${path} was answered with ${answer.statusCode}`));
        });
      });
      request.once('error', reject);
    });
  }

  residentBytes(): number {
    const text = readFileSync(`/proc/${this.#child.pid}/status`, 'latin1');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}
