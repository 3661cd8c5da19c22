import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What a load generator is to do. */
export interface LoadOrder {
  readonly port: number;
  readonly serverPid: number;
  /** Keys of the base that are written to. */
  readonly keys: number;
  readonly connections: number;
  /** Commands that are sent at once on a connection. */
  readonly batch: number;
  /** Commands a second; 0 = as many as the server answers. */
  readonly rate: number;
  readonly seconds: number;
  readonly seed: number;
  /** `write`: writes of several types. `get-set`: as many GET as SET. Default `write`. */
  readonly mix?: 'write' | 'get-set';
  /**
   * The generator goes before everything else on the machine (`SCHED_FIFO`): it stands for clients
   * elsewhere, whose own waits for a core are no latency of the server. Needs root; else it runs as
   * usual.
   */
  readonly precedence?: boolean;
}

/** What it measured: times from a batch sent to its last reply, and CPU seconds of the server. */
export interface LoadResult {
  readonly commands: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

/** Runs a load generator in a process of its own. */
export async function runLoad(order: LoadOrder): Promise<LoadResult> {
  const program = fileURLToPath(new URL('load-child.js', import.meta.url));
  const node = [process.execPath, program, JSON.stringify(order)];
  const [file = '', ...args] = order.precedence === true ? [...precedence(), ...node] : node;
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`the load generator ended with ${code}`);
  return JSON.parse(out) as LoadResult;
}

const FIRST = ['chrt', '-f', '1'];

/** The command that gives precedence, or nothing where it is not allowed. */
function precedence(): readonly string[] {
  const [file = '', ...args] = FIRST;
  return spawnSync(file, [...args, 'true']).status === 0 ? FIRST : [];
}

/** Whether a generator can go before everything else here. */
export function hasPrecedence(): boolean {
  return precedence().length > 0;
}
