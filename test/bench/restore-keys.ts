import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Redis } from 'ioredis';
import { startRedis } from '../support/redis-server.ts';
import { TempDir } from '../support/temp-dir.ts';
import type { Outcome } from './outcome.ts';
import { captureLog } from './setup/captured-log.ts';
import { command, CommandMaker } from './setup/commands.ts';
import { connect, expectEqual } from './setup/expect.ts';
import { median, OtherWork } from './setup/process-facts.ts';
import { Tidemark, type Ran } from './setup/tidemark.ts';

const KEYS = 2_000_000;
const COMMANDS = 5_000_000;
/** 0.1 % of the keys. */
const SELECTED = 2_000;
/** Commands of the log that write one of the cold keys. */
const COLD_WRITES = 20;
const ROUNDS = 3;
const MB = 1_000_000;
const ASKED = 500;
/** Sixteen frames of the log. */
const TEXT_CHARS = 16 * 1024 * 1024;

/** The names of what is measured here, in one run. */
export const KEYS_NAMES = ['restore-keys', 'restore-keys-bytes', 'restore-keys-hot'] as const;

interface Report {
  readonly keys: number;
  readonly commands: number;
  readonly bytes: number;
  readonly target: string;
  readonly elapsedSeconds: number;
  readonly phases: Readonly<Record<string, number>>;
  readonly selection: {
    readonly logBytes: number;
    readonly indexBytes: number;
    readonly frameBytes: number;
    readonly everything: unknown;
  } | null;
}

/** Some keys, the file that names them, and the digest of their values. */
interface Choice {
  readonly file: string;
  readonly names: readonly string[];
  readonly digest: string;
}

interface History {
  readonly tidemark: Tidemark;
  readonly keys: number;
  readonly cold: Choice;
  readonly hot: Choice;
}

/**
 * A restore of 0.1 % of the keys against the full restore of the same point, and what of the log is
 * read for it: cold keys, which stand in the snapshot and in few commands, and for information hot
 * ones, which are written all the time.
 *
 * The times are from the plan to the promotion, as in `restore-full`.
 */
export async function benchRestoreKeys(): Promise<readonly Outcome[]> {
  await using dir = await TempDir.create('tidemark-bench-');
  const history = await capture(dir.path);
  const rounds: Round[] = [];
  const others = new OtherWork();
  for (let round = 0; round < ROUNDS; round += 1) {
    await others.look();
    const target = (name: string): string => `${dir.path}/${name}-${round}`;
    const all = (): Promise<Ran<Report>> => restoreAll(history, target('all'));
    const early = round % 2 === 0 ? await all() : null;
    const cold = await restoreChoice(history, history.cold, target('cold'));
    const hot = await restoreChoice(history, history.hot, target('hot'));
    rounds.push({ full: early ?? (await all()), cold, hot });
  }
  return outcomesOf(rounds, others.text);
}

interface Round {
  readonly full: Ran<Report>;
  readonly cold: Ran<Report>;
  readonly hot: Ran<Report>;
}

function outcomesOf(rounds: readonly Round[], others: string): readonly Outcome[] {
  const { full, cold, hot } = rounds[0]!;
  const amount =
    `${full.document.keys} keys, ${full.document.commands} commands, ` +
    `${(full.document.bytes / MB).toFixed(0)} MB fed in full; ${SELECTED} keys selected`;
  const texts = (of: (round: Round) => Ran<Report>): string =>
    rounds.map((round) => phasesText(of(round), timeOf(round.full))).join('; ');
  const ratios = (of: (round: Round) => Ran<Report>): number =>
    median(rounds.map((round) => timeOf(of(round)) / timeOf(round.full)));
  return [
    {
      name: 'restore-keys',
      value: ratios((round) => round.cold),
      unit: 'ratio',
      bar: { atMost: 0.2 },
      of: 'time of the full restore of the same point',
      detail:
        `${amount}, cold; ${others}; in shares of the full restore: ${texts((round) => round.cold)}; ` +
        `the full restore ${texts((round) => round.full)}`,
    },
    {
      name: 'restore-keys-bytes',
      value: fetchedShare(cold),
      unit: 'ratio',
      bar: { atMost: 0.1 },
      of: 'sealed bytes of the log between snapshot and point, the snapshot not counted',
      detail: `cold keys, ${COLD_WRITES} of the commands write one: ${bytesText(cold)}`,
    },
    {
      name: 'restore-keys-hot',
      value: ratios((round) => round.hot),
      unit: 'ratio',
      bar: null,
      of: 'time of the full restore, for keys that are written all the time',
      detail:
        `${hot.document.commands} commands replayed; ${bytesText(hot)}; ` +
        `rounds ${texts((round) => round.hot)}`,
    },
  ];
}

/** Seconds from the plan to the promotion. */
function timeOf({ document }: Ran<Report>): number {
  return document.elapsedSeconds - (document.phases['persist'] ?? 0);
}

function phasesText(ran: Ran<Report>, full: number): string {
  const share = (seconds: number): string => (seconds / full).toFixed(3);
  const spent = Object.entries(ran.document.phases).map(([name, took]) => `${name} ${share(took)}`);
  return `${share(timeOf(ran))} (${spent.join(', ')}; the whole command ${share(ran.seconds)})`;
}

function fetchedShare({ document }: Ran<Report>): number {
  const { selection } = document;
  if (selection === null) throw new Error('a restore of selected keys does not report them');
  return (selection.indexBytes + selection.frameBytes) / selection.logBytes;
}

function bytesText(ran: Ran<Report>): string {
  const { indexBytes = 0, frameBytes = 0, logBytes = 0 } = ran.document.selection ?? {};
  const mb = (bytes: number): string => `${(bytes / MB).toFixed(2)} MB`;
  return (
    `${mb(indexBytes)} of indexes and ${mb(frameBytes)} of frames of ${mb(logBytes)} ` +
    `(${fetchedShare(ran).toFixed(3)})`
  );
}

/** Writes the history, has it captured, and notes what the selected keys must be. */
async function capture(dir: string): Promise<History> {
  await using server = await startRedis({ config: { 'auto-aof-rewrite-percentage': '0' } });
  const client = await server.connect();
  const tidemark = await Tidemark.init(`${dir}/tidemark`, 'bench', server);
  const maker = new CommandMaker(Date.now(), TEXT_CHARS);
  // The log writes over every twentieth session, and never over the fifth after it.
  const names = (from: number): string[] =>
    Array.from({ length: SELECTED }, (_, at) => sessionOf(at * (KEYS / SELECTED) + from));
  const [cold, hot] = [names(5), names(0)];
  const log = withColdWrites(maker.log(COMMANDS, KEYS), cold);
  await captureLog(server, client, tidemark, { base: maker.base(KEYS), log });
  const choose = async (name: string, keys: readonly string[]): Promise<Choice> => {
    const file = `${dir}/${name}.keys`;
    await writeFile(file, `${keys.join('\n')}\n`);
    return { file, names: keys, digest: await digestOf(client, keys) };
  };
  return {
    tidemark,
    keys: await client.dbsize(),
    cold: await choose('cold', cold),
    hot: await choose('hot', hot),
  };
}

function sessionOf(index: number): string {
  return `session:${String(index).padStart(9, '0')}`;
}

function* withColdWrites(log: Iterable<Buffer>, cold: readonly string[]): Generator<Buffer> {
  const blocks = [...blockNumbers()];
  let at = 0;
  for (const block of log) {
    yield block;
    const write = blocks.indexOf(at++);
    if (write < 0) continue;
    const key = cold[Math.floor((write * cold.length) / COLD_WRITES)] ?? '';
    yield Buffer.from(command('SET', key, `rewritten:${write}`), 'latin1');
  }
}

/** After which blocks of the log a cold key is written: evenly through it. */
function* blockNumbers(): Generator<number> {
  const blocks = Math.floor(COMMANDS / CommandMaker.blockCommands);
  for (let write = 0; write < COLD_WRITES; write += 1) {
    yield Math.floor(((write + 0.5) * blocks) / COLD_WRITES);
  }
}

async function digestOf(client: Redis, keys: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (let at = 0; at < keys.length; at += ASKED) {
    for (const value of await client.mget(keys.slice(at, at + ASKED))) hash.update(`${value}\n`);
  }
  return hash.digest('hex');
}

function restoreAll(history: History, dir: string): Promise<Ran<Report>> {
  return restoreInto(history, [], dir, async (client) => {
    expectEqual('keys of the full restore', await client.dbsize(), history.keys);
    const { names, digest } = history.cold;
    expectEqual('values of the full restore', await digestOf(client, names), digest);
  });
}

function restoreChoice(history: History, choice: Choice, dir: string): Promise<Ran<Report>> {
  return restoreInto(history, ['--keys-file', choice.file], dir, async (client) => {
    expectEqual('keys of the selection', await client.dbsize(), choice.names.length);
    expectEqual('values', await digestOf(client, choice.names), choice.digest);
  });
}

async function restoreInto(
  { tidemark }: History,
  flags: readonly string[],
  dir: string,
  check: (client: Redis) => Promise<void>,
): Promise<Ran<Report>> {
  const to = ['--at', 'latest', '--to', 'new', '--dir', dir];
  const ran = await tidemark.run<Report>('restore', 'bench', ...flags, ...to);
  const client = connect(ran.document.target);
  try {
    await check(client);
  } finally {
    await client.call('SHUTDOWN', 'NOSAVE').catch(() => undefined); // it closes without a reply
    client.disconnect();
  }
  return ran;
}
