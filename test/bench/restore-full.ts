import { cp } from 'node:fs/promises';
import { startServer } from '@tidemark/client';
import { useDebugServers } from '../support/debug-servers.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { TempDir } from '../support/temp-dir.ts';
import type { Outcome } from './outcome.ts';
import { captureLog } from './setup/captured-log.ts';
import { CommandMaker } from './setup/commands.ts';
import { connect, expectEqual } from './setup/expect.ts';
import { median, OtherWork } from './setup/process-facts.ts';
import { Tidemark, type Ran } from './setup/tidemark.ts';

const KEYS = 2_400_000;
const COMMANDS = 2_400_000;
const ROUNDS = 5;
const MB = 1_000_000;
const LOAD_TIMEOUT_MS = 180_000;

/** The names of what is measured here, in one run. */
export const RESTORE_NAMES = ['restore-full', 'archiver-memory', 'restorer-memory'] as const;

interface Report {
  readonly keys: number;
  readonly commands: number;
  readonly bytes: number;
  readonly target: string;
  readonly elapsedSeconds: number;
  readonly phases: Readonly<Record<string, number>>;
}

interface Source {
  readonly tidemark: Tidemark;
  readonly digest: string;
  readonly keys: number;
  /** A folder with a copy of the log: base, increment and manifest. */
  readonly logCopy: string;
  readonly archiverPeak: number;
}

/**
 * A restore through the product against the server's own load of the same plaintext log, and the
 * peak memory of both programs while they work.
 *
 * The archiver starts when base and log are there already: it ships one and catches up with the
 * other, which is when it needs most memory. The restore is the `tidemark` command; its time is
 * from the plan to the promotion, the writing of the target's own log not included.
 */
export async function benchRestore(): Promise<readonly Outcome[]> {
  await using dir = await TempDir.create('tidemark-bench-');
  await using _debug = await useDebugServers();
  const source = await capture(dir.path);
  const ratios: number[] = [];
  const restores: Ran<Report>[] = [];
  const phases: string[] = [];
  const others = new OtherWork();
  for (let round = 0; round < ROUNDS; round += 1) {
    await others.look();
    const first = round % 2 === 0 ? await loadPlain(source) : null;
    const ran = await restoreOnce(source, `${dir.path}/new-${round}`, round === 0);
    const plainSeconds = first ?? (await loadPlain(source));
    restores.push(ran);
    const { elapsedSeconds, phases: spent } = ran.document;
    const seconds = elapsedSeconds - (spent['persist'] ?? 0);
    ratios.push(seconds / plainSeconds);
    phases.push(phasesText(ran, seconds, plainSeconds));
  }
  const { keys, commands, bytes } = restores[0]!.document;
  const amount = `${keys} keys, ${commands} commands, ${(bytes / MB).toFixed(0)} MB fed`;
  const peak = Math.max(...restores.map(({ peakBytes }) => peakBytes));
  return [
    {
      name: 'restore-full',
      value: median(ratios),
      unit: 'ratio',
      bar: { atMost: 1.3 },
      of: "time of the server's own load of the same plaintext log",
      detail: `${amount}; ${others.text}; rounds ${phases.join('; ')}`,
    },
    {
      name: 'archiver-memory',
      value: source.archiverPeak / MB,
      unit: 'MB',
      bar: { atMost: 200 },
      of: 'peak resident memory while it ships the base and catches up with the log',
      detail: amount,
    },
    {
      name: 'restorer-memory',
      value: peak / MB,
      unit: 'MB',
      bar: { atMost: 250 },
      of: 'peak resident memory of the restore command',
      detail: `the largest of ${ROUNDS} restores`,
    },
  ];
}

/** Shares of a round, in the time of the plain load: no absolute times, they say nothing. */
function phasesText({ document, seconds: wall }: Ran<Report>, own: number, plain: number): string {
  const share = (seconds: number): string => (seconds / plain).toFixed(2);
  const spent = Object.entries(document.phases).map(([name, took]) => `${name} ${share(took)}`);
  return `${share(own)} (${spent.join(', ')}; the whole command ${share(wall)})`;
}

/** Writes the dataset, has it captured, and leaves its store and a copy of its log. */
async function capture(dir: string): Promise<Source> {
  await using server = await startRedis({ config: { 'auto-aof-rewrite-percentage': '0' } });
  const client = await server.connect();
  const tidemark = await Tidemark.init(`${dir}/tidemark`, 'bench', server);
  const maker = new CommandMaker(Date.now());
  const archiverPeak = await captureLog(server, client, tidemark, {
    base: maker.base(KEYS),
    log: maker.log(COMMANDS, KEYS),
  });
  const keys = await client.dbsize();
  const digest = String(await client.call('DEBUG', 'DIGEST'));
  const logCopy = `${dir}/plain`;
  await copyLog(server, logCopy);
  return { tidemark, digest, keys, logCopy, archiverPeak };
}

/** Seconds until a server has loaded the log by itself, from the start of its process. */
async function loadPlain(source: Source): Promise<number> {
  const startMs = performance.now();
  await using server = await startServer({
    dir: source.logCopy,
    readyTimeoutMs: LOAD_TIMEOUT_MS,
    config: { appendonly: 'yes', save: '', 'auto-aof-rewrite-percentage': '0' },
  });
  const seconds = (performance.now() - startMs) / 1000;
  const client = connect(`redis://${server.host}:${server.port}`);
  try {
    expectEqual('keys of the plain load', await client.dbsize(), source.keys);
  } finally {
    client.disconnect();
    await server.kill();
  }
  return seconds;
}

async function restoreOnce(source: Source, dir: string, check: boolean): Promise<Ran<Report>> {
  const flags = ['--at', 'latest', '--to', 'new', '--dir', dir];
  const ran = await source.tidemark.run<Report>('restore', 'bench', ...flags);
  const client = connect(ran.document.target);
  try {
    expectEqual('keys of the restore', await client.dbsize(), source.keys);
    if (check) {
      const digest = String(await client.call('DEBUG', 'DIGEST'));
      expectEqual('digest of the restore', digest, source.digest);
    }
  } finally {
    await client.call('SHUTDOWN', 'NOSAVE').catch(() => undefined); // it closes without a reply
    client.disconnect();
  }
  return ran;
}

async function copyLog(server: RedisServer, to: string): Promise<void> {
  await cp(server.aofDir, `${to}/appendonlydir`, { recursive: true });
}
