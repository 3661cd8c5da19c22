import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { secondOf, type CliError, type CliRun, type Tidemark } from '../tidemark-cli.ts';

/** Counts of a comparison, as `-o json` has them. */
export type OutcomeCounts = Readonly<
  Record<'same' | 'changed' | 'missing' | 'created' | 'expired', number>
>;

/** The document of `preview`, `restore --to original --dry-run` and `diff`. */
export interface ComparedDocument {
  readonly counts: OutcomeCounts;
  readonly sample: readonly {
    readonly outcome: string;
    readonly key: string;
    readonly then: { readonly type: string; readonly bytes: number } | null;
    readonly now: { readonly type: string; readonly bytes: number } | null;
  }[];
  readonly write: { readonly put: number; readonly deleted: number };
}

/** The document of `restore --to original` and `undo`. */
export interface WrittenDocument {
  readonly id: string;
  readonly state: string;
  readonly restored: number;
  readonly deleted: number;
  readonly settled: number;
  readonly conflicts: number;
  readonly writtenSample: readonly { readonly key: string }[];
  readonly left: readonly { readonly db: number; readonly key: string; readonly why: string }[];
  readonly undo: { readonly id: string; readonly expiresMs: number } | null;
}

/** A line of `find -o json`. */
export interface FoundLine {
  readonly second: string | null;
  readonly offset: string;
  readonly before: string;
  readonly command: string;
  readonly did?: string;
}

/** Runs commands as a user would, and keeps all that they print. */
export class StoryRun {
  readonly #tidemark: Tidemark;
  readonly #printed: { readonly command: string; readonly text: string }[] = [];

  constructor(tidemark: Tidemark) {
    this.#tidemark = tidemark;
  }

  /** Everything that was printed as text, with the command. JSON documents are in it too. */
  get printed(): readonly { readonly command: string; readonly text: string }[] {
    return this.#printed;
  }

  /** Runs a command; its standard input is `input`. */
  async run(args: readonly string[], input = ''): Promise<CliRun> {
    const child = this.#tidemark.spawn(...args);
    return this.watched(child, args, input);
  }

  /** Waits for the end of a command that was started by hand. */
  async watched(
    child: ReturnType<Tidemark['spawn']>,
    args: readonly string[],
    input = '',
  ): Promise<CliRun> {
    let [out, err] = ['', ''];
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text));
    child.stdin?.end(input);
    const [code] = (await once(child, 'close')) as [number | null];
    this.#printed.push({ command: args.join(' '), text: out + err });
    return { code, out, err };
  }

  /** What a command prints that ends with this code. */
  async text(code: number, ...args: readonly string[]): Promise<CliRun> {
    return expectCode(await this.run(args), code, args);
  }

  /** The one document of a command that ends with this code. */
  async json<T>(code: number, args: readonly string[], input = ''): Promise<T> {
    const run = expectCode(await this.run([...args, '-o', 'json'], input), code, args);
    return JSON.parse(run.out) as T;
  }

  /** The lines of `find` or `history`, without the summary at the end. */
  async lines(...args: readonly string[]): Promise<readonly FoundLine[]> {
    const { out } = expectCode(await this.run([...args, '-o', 'json']), 0, args);
    const lines = out.trim().split('\n');
    return lines.slice(0, -1).map((line) => JSON.parse(line) as FoundLine);
  }

  /** The error of a command that is refused with this code and prints no result. */
  async refused(code: number, ...args: readonly string[]): Promise<CliError> {
    const { out, err } = expectCode(await this.run([...args, '-o', 'json']), code, args);
    if (out !== '') throw new Error(`a refused command printed a result: ${out}`);
    const line = err.split('\n').findLast((text) => text.startsWith('{"error"')) ?? '{}';
    return (JSON.parse(line) as { readonly error: CliError }).error;
  }
}

function expectCode(run: CliRun, code: number, args: readonly string[]): CliRun {
  if (run.code === code) return run;
  const said = `${run.out}\n${run.err}`.trim();
  throw new Error(`tidemark ${args.join(' ')} ended with ${run.code}, not ${code}:\n${said}`);
}

/** Each key that a glob fits: its DUMP and its expiry. */
export async function keysOf(
  client: Redis,
  glob: string,
): Promise<ReadonlyMap<string, readonly [string, number]>> {
  const found = new Map<string, readonly [string, number]>();
  for (const key of (await client.keysBuffer(glob)).sort((a, b) => a.compare(b))) {
    const dump = await client.dumpBuffer(key);
    const text = key.toString('latin1');
    found.set(text, [dump.toString('base64'), await client.pexpiretime(key)]);
  }
  return found;
}

/** Looks into a server that a restore has started, and ends it. */
export async function endStarted<T>(url: string, look: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await look(client);
  } finally {
    await client.call('SHUTDOWN', 'NOSAVE').catch(() => undefined);
    client.disconnect();
  }
}

/** Whether a word stands in the arguments of any process of this machine. */
export async function isInArguments(word: string): Promise<boolean> {
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const line = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (line.includes(word)) return true;
  }
  return false;
}

/** Switches the log of a node off for some seconds. @returns A second that cannot be restored. */
export async function haveHole(tidemark: Tidemark, id: string, client: Redis): Promise<string> {
  await client.config('SET', 'appendonly', 'no');
  await delay(2_500);
  await client.config('SET', 'appendonly', 'yes');
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    await delay(300);
    await client.set('tick', '2');
    const { latest, shards } = await tidemark.windows(id);
    const hole = shards[0]?.holes[0];
    if (hole !== undefined && secondOf(latest ?? '') >= secondOf(hole.to)) return hole.to;
  }
  throw new Error('no hole was told of');
}
