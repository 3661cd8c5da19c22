/* A load generator in a process of its own: see `load.ts`. */
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { command, Lehmer } from './commands.ts';
import type { LoadOrder, LoadResult } from './load.ts';
import { cpuSecondsOf } from './process-facts.ts';

const POOL_BATCHES = 4_096;
const TEXT_CHARS = 256 * 1024;
const TICK_MS = 1;
const NEWLINE = 0x0a;

/** Commands that are sent at once, and how many lines their replies have. */
interface Batch {
  readonly bytes: Buffer;
  readonly lines: number;
}

/** One connection: batches out, replies counted by their lines. */
class Lane {
  readonly #socket: Socket;
  readonly #sent: { readonly atMs: number; readonly lines: number }[] = [];
  readonly #done: (tookMs: number) => void;
  #lines = 0;

  constructor(socket: Socket, done: (tookMs: number) => void) {
    this.#socket = socket;
    this.#done = done;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  get waiting(): number {
    return this.#sent.length;
  }

  send({ bytes, lines }: Batch): void {
    this.#sent.push({ atMs: performance.now(), lines });
    this.#socket.write(bytes);
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) {
      this.#lines += 1;
      const first = this.#sent[0];
      if (first === undefined || this.#lines < first.lines) continue;
      this.#lines = 0;
      this.#sent.shift();
      this.#done(performance.now() - first.atMs);
    }
  }
}

/** Commands over the keys of the base: a GET of one that is there is answered by two lines. */
function buildPool(order: LoadOrder): Batch[] {
  const random = new Lehmer(order.seed);
  let filler = '';
  while (filler.length < TEXT_CHARS) filler += random.below(0x7fff_ffff).toString(36);
  const text = (min: number, max: number): string => {
    const at = random.below(TEXT_CHARS - max);
    return filler.slice(at, at + min + random.below(max - min));
  };
  const write = (): string => {
    const at = random.below(order.keys);
    const id = String(at - (at % 20)).padStart(9, '0');
    switch (random.below(10)) {
      case 0:
        return command('INCRBY', `count:${random.below(50_000)}`, '7');
      case 1:
      case 2:
        return command('HSET', `login:${id}`, 'seen', String(at), 'from', text(8, 24));
      case 3:
        return command('SADD', `mark:${id}`, text(6, 8));
      case 4:
        return command('PEXPIREAT', `session:${id}`, '4000000000000');
      default:
        return command('SET', `session:${id}`, text(48, 144));
    }
  };
  const read = (): string => {
    const at = random.below(order.keys);
    return command('GET', `session:${String(at - (at % 20)).padStart(9, '0')}`);
  };
  const set = (): string => {
    const at = random.below(order.keys);
    return command('SET', `session:${String(at - (at % 20)).padStart(9, '0')}`, text(48, 144));
  };
  return Array.from({ length: POOL_BATCHES }, () => {
    let [all, lines] = ['', 0];
    for (let left = order.batch; left > 0; left -= 1) {
      const reads = order.mix === 'get-set' && random.below(2) === 0;
      all += reads ? read() : order.mix === 'get-set' ? set() : write();
      lines += reads ? 2 : 1;
    }
    return { bytes: Buffer.from(all, 'latin1'), lines };
  });
}

async function connect(port: number): Promise<Socket> {
  const socket = createConnection({ host: '127.0.0.1', port, noDelay: true });
  await once(socket, 'connect');
  return socket;
}

async function run(order: LoadOrder): Promise<LoadResult> {
  const pool = buildPool(order);
  const tookMs: number[] = [];
  let sent = 0;
  let lanes: Lane[] = [];
  const next = (lane: Lane): void => lane.send(pool[sent++ % POOL_BATCHES] as Batch);
  const lanesOf = Array.from({ length: order.connections }, async () => {
    const socket = await connect(order.port);
    const lane: Lane = new Lane(socket, (took) => {
      tookMs.push(took);
      if (order.rate === 0 && performance.now() < endMs) next(lane);
    });
    return lane;
  });
  lanes = await Promise.all(lanesOf);
  const cpuBefore = cpuSecondsOf(order.serverPid);
  const startMs = performance.now();
  const endMs = startMs + order.seconds * 1000;
  if (order.rate === 0) for (const lane of lanes) next(lane);
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const nowMs = performance.now();
      const due = ((Math.min(nowMs, endMs) - startMs) / 1000) * (order.rate / order.batch);
      while (order.rate > 0 && sent < due) next(lanes[sent % lanes.length] as Lane);
      if (nowMs < endMs || lanes.some(({ waiting }) => waiting > 0)) return;
      clearInterval(timer);
      resolve();
    }, TICK_MS);
  });
  const seconds = (performance.now() - startMs) / 1000;
  const cpuSeconds = cpuSecondsOf(order.serverPid) - cpuBefore;
  for (const lane of lanes) lane.close();
  tookMs.sort((a, b) => a - b);
  const quantile = (share: number): number => tookMs[Math.floor(tookMs.length * share)] ?? NaN;
  return {
    commands: sent * order.batch,
    seconds,
    cpuSeconds,
    p50Ms: quantile(0.5),
    p90Ms: quantile(0.9),
    p99Ms: quantile(0.99),
    p999Ms: quantile(0.999),
    maxMs: tookMs.at(-1) ?? NaN,
  };
}

console.log(JSON.stringify(await run(JSON.parse(process.argv[2] ?? '{}') as LoadOrder)));
