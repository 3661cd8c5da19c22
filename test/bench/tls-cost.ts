import { once } from 'node:events';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { dialNode, type NodeAddress } from '@tidemark/client';
import { TlsWorld } from '../support/tls/tls-world.ts';
import type { Outcome } from './outcome.ts';
import { median } from './setup/process-facts.ts';

const ROUNDS = 7;
const PINGS = 2_000;
const DIALS = 40;
const VALUE_BYTES = 32 * 2 ** 20;
const READS = 6;
const PING = Buffer.from('*1\r\n$4\r\nPING\r\n');
const DIAL_MS = 10_000;

/** The names of what is measured here, in one run. */
export const TLS_NAMES = [
  ...['tls-throughput', 'tls-ping', 'tls-handshake', 'tls-handshake-full'],
] as const;

/** One round over one kind of connection. */
interface Round {
  readonly bytesPerSecond: number;
  readonly pingMs: number;
  /** With the session of the dial before, where there is one. */
  readonly dialMs: number;
  readonly resumed: number;
}

interface Pair {
  readonly plain: Round;
  readonly secure: Round;
}

/**
 * What TLS costs on our connections: the same server over its plain port and over the one with TLS,
 * both sides show certificates (D7). All by the one function that dials; a dial ends with the answer
 * to a PING. A full handshake is that of the first dial with settings that were opened just now.
 */
export async function benchTlsCost(): Promise<readonly Outcome[]> {
  await using world = await TlsWorld.create();
  await using server = await world.start({ plain: true });
  const plain: NodeAddress = { host: '127.0.0.1', port: server.port };
  const secure = await world.address(server.tlsPort);
  const client = await server.connect();
  await client.set('value', Buffer.alloc(VALUE_BYTES, 'value'));
  await measure(plain);
  await measure(secure);
  const rounds: Pair[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const first = await measure(round % 2 === 0 ? plain : secure);
    const second = await measure(round % 2 === 0 ? secure : plain);
    const [a, b] = round % 2 === 0 ? [first, second] : [second, first];
    rounds.push({ plain: a, secure: b });
  }
  const full: number[] = [];
  for (let count = 0; count < DIALS; count += 1) {
    const { socket, tookMs } = await timedDial(await world.address(server.tlsPort));
    socket.destroy();
    full.push(tookMs);
  }
  return outcomesOf(rounds, median(full));
}

function outcomesOf(rounds: readonly Pair[], fullMs: number): readonly Outcome[] {
  const side = (kind: keyof Pair, field: keyof Round): number =>
    median(rounds.map((round) => round[kind][field]));
  const figure = (name: string, of: string, field: keyof Round, text: (n: number) => string) => ({
    ...{ name, of, unit: 'ratio' as const, bar: null },
    value: median(rounds.map((round) => round.secure[field] / round.plain[field])),
    detail: `${text(side('secure', field))} with TLS 1.3, ${text(side('plain', field))} without`,
  });
  const ms = (value: number): string => `${value.toFixed(3)} ms`;
  const rate = (value: number): string => `${(value / 2 ** 20).toFixed(0)} MiB/s`;
  const dial = figure('tls-handshake', 'median of dialing, PING included, plain', 'dialMs', ms);
  const resumed = rounds.reduce((sum, round) => sum + round.secure.resumed, 0);
  return [
    figure('tls-throughput', 'the same value of 32 MiB read without TLS', 'bytesPerSecond', rate),
    figure('tls-ping', 'median of PING and its answer without TLS', 'pingMs', ms),
    {
      ...dial,
      detail: `${dial.detail}; ${resumed} of ${rounds.length * DIALS} sessions were resumed`,
    },
    {
      ...{ name: 'tls-handshake-full', unit: 'ratio', bar: null },
      value: fullMs / side('plain', 'dialMs'),
      of: 'the same, no session resumed',
      detail: `${ms(fullMs)} with TLS 1.3`,
    },
  ];
}

async function measure(address: NodeAddress): Promise<Round> {
  const dials: number[] = [];
  let resumed = 0;
  for (let count = 0; count < DIALS; count += 1) {
    const { socket, tookMs } = await timedDial(address);
    if (socket instanceof TLSSocket && socket.isSessionReused()) resumed += 1;
    socket.destroy();
    dials.push(tookMs);
  }
  const socket = await dial(address);
  try {
    return {
      dialMs: median(dials),
      resumed,
      pingMs: await pingMs(socket),
      bytesPerSecond: await bytesPerSecond(socket),
    };
  } finally {
    socket.destroy();
  }
}

async function timedDial(
  address: NodeAddress,
): Promise<{ readonly socket: Socket; readonly tookMs: number }> {
  const startMs = performance.now();
  const socket = await dial(address);
  return { socket, tookMs: performance.now() - startMs };
}

async function dial(address: NodeAddress): Promise<Socket> {
  const socket = await dialNode(address, { timeoutMs: DIAL_MS });
  socket.on('error', () => undefined); // what is measured would not end
  return socket.setNoDelay(true);
}

async function pingMs(socket: Socket): Promise<number> {
  const took: number[] = [];
  for (let count = 0; count < PINGS; count += 1) {
    const startMs = performance.now();
    socket.write(PING);
    await once(socket, 'data');
    took.push(performance.now() - startMs);
  }
  return median(took);
}

async function bytesPerSecond(socket: Socket): Promise<number> {
  const reply = `$${VALUE_BYTES}\r\n`.length + VALUE_BYTES + 2;
  const startMs = performance.now();
  for (let count = 0; count < READS; count += 1) {
    socket.write('*2\r\n$3\r\nGET\r\n$5\r\nvalue\r\n');
    await bytesOf(socket, reply);
  }
  return (READS * VALUE_BYTES) / ((performance.now() - startMs) / 1000);
}

function bytesOf(socket: Socket, count: number): Promise<void> {
  return new Promise((resolve) => {
    let left = count;
    const take = (chunk: Buffer): void => {
      left -= chunk.length;
      if (left > 0) return;
      socket.off('data', take);
      resolve();
    };
    socket.on('data', take);
  });
}
