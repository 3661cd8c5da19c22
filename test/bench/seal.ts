import { execFile } from 'node:child_process';
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { promisify } from 'node:util';
import { Opener, Sealer, sealStream, type DataKey } from '@tidemark/crypto';
import { systemRandom } from '@tidemark/system';
import type { Outcome } from './outcome.ts';
import { median } from './setup/process-facts.ts';

const run = promisify(execFile);
const TOTAL_BYTES = 64 * 2 ** 20;
const PUSH_BYTES = 2 ** 20;
const ROUNDS = 15;
const NONCE = Buffer.alloc(12, 1);
const TAG = { authTagLength: 16 };

export const SEAL_NAMES = ['seal', 'open', 'seal-raw'];

const dataKey: DataKey = { id: '0f'.repeat(16), key: systemRandom.bytes(32) };
const identity = { iid: 'orders', timeline: 't1', start: '0' };

function newSealer(): Sealer {
  return new Sealer({ dataKey, kind: 2, compression: 0, identity, random: systemRandom });
}

/** The measure: one cipher over the same pushes, its output let go. */
function encryptRaw(pushes: readonly Buffer[], keep?: Buffer[]): Buffer {
  const cipher = createCipheriv('aes-256-gcm', dataKey.key, NONCE, TAG);
  for (const push of pushes) {
    const bytes = cipher.update(push);
    keep?.push(bytes);
  }
  cipher.final();
  return cipher.getAuthTag();
}

function seal(pushes: readonly Buffer[]): number {
  const sealer = newSealer();
  sealer.begin();
  for (const push of pushes) sealer.push(push);
  sealer.end();
  return sealer.size;
}

async function sealAsStream(pushes: readonly Buffer[]): Promise<number> {
  async function* source() {
    for (const push of pushes) yield await Promise.resolve(push);
  }
  let bytes = 0;
  for await (const piece of sealStream(source(), newSealer())) bytes += piece.length;
  return bytes;
}

function decryptRaw(pushes: readonly Buffer[], tag: Buffer): void {
  const decipher = createDecipheriv('aes-256-gcm', dataKey.key, NONCE, TAG);
  for (const push of pushes) decipher.update(push);
  decipher.setAuthTag(tag);
  decipher.final();
}

function open(sealed: readonly Buffer[]): number {
  const opener = new Opener({ keyOf: () => dataKey, kind: 2, identity });
  let bytes = 0;
  for (const push of sealed) for (const plain of opener.push(push)) bytes += plain.length;
  for (const plain of opener.end()) bytes += plain.length;
  return bytes;
}

/** Sealed bytes in pushes of 1 MiB, which do not fall together with chunks. */
function sealedPushes(pushes: readonly Buffer[]): Buffer[] {
  const sealer = newSealer();
  const pieces = [sealer.begin()];
  for (const push of pushes) pieces.push(...sealer.push(push));
  const bytes = Buffer.concat([...pieces, ...sealer.end()]);
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += PUSH_BYTES) {
    parts.push(bytes.subarray(at, at + PUSH_BYTES));
  }
  return parts;
}

/**
 * Throughput of `Sealer` and `Opener` beside `openssl speed`, and of `Sealer` beside one cipher of
 * node:crypto on the same bytes: medians of the rounds, each of which runs all.
 */
export async function benchSeal(): Promise<readonly Outcome[]> {
  const pushes = Array.from({ length: TOTAL_BYTES / PUSH_BYTES }, () =>
    systemRandom.bytes(PUSH_BYTES),
  );
  const sealed = sealedPushes(pushes);
  const encrypted: Buffer[] = [];
  const tag = encryptRaw(pushes, encrypted);
  const runs = {
    raw: () => encryptRaw(pushes),
    seal: () => seal(pushes),
    stream: () => sealAsStream(pushes),
    rawOpen: () => decryptRaw(encrypted, tag),
    open: () => open(sealed),
  };
  const times: Record<keyof typeof runs, number[]> = {
    ...{ raw: [], seal: [], stream: [], rawOpen: [], open: [] },
  };
  for (let round = 0; round <= ROUNDS; round++) {
    for (const name of Object.keys(runs) as (keyof typeof runs)[]) {
      const start = performance.now();
      await runs[name]();
      if (round > 0) times[name].push(performance.now() - start); // the first one warms up
    }
  }
  const peer = { seal: await opensslBytes(), open: await opensslBytes('-decrypt') };
  const bytes = (name: keyof typeof runs): number => TOTAL_BYTES / (median(times[name]) / 1000);
  const rate = (perSecond: number): string => `${(perSecond / 2 ** 20).toFixed(0)} MiB/s`;
  const figure = (name: 'seal' | 'open', raw: 'raw' | 'rawOpen'): Outcome => ({
    ...{ name, value: bytes(name) / peer[name], unit: 'ratio', bar: null },
    of: 'openssl speed -evp aes-256-gcm, blocks of 256 KiB: a cipher over one buffer in the cache',
    detail:
      `64 MiB in pushes of 1 MiB, chunks of 256 KiB: ${rate(bytes(name))}, openssl ` +
      `${rate(peer[name])}, node:crypto ${rate(bytes(raw))}`,
  });
  return [
    figure('seal', 'raw'),
    figure('open', 'rawOpen'),
    {
      ...{
        name: 'seal-raw',
        value: median(ratios(times.raw, times.seal)),
        unit: 'ratio',
        bar: null,
      },
      of: 'raw AES-256-GCM of node:crypto over the same bytes',
      detail: `as a stream ${rate(bytes('stream'))}`,
    },
  ];
}

function ratios(ours: readonly number[], peers: readonly number[]): number[] {
  return ours.map((ms, round) => ms / (peers[round] ?? NaN));
}

/** Bytes a second of `openssl speed`. */
async function opensslBytes(...flags: readonly string[]): Promise<number> {
  const fixed = ['speed', '-elapsed', '-seconds', '2', '-bytes', '262144', '-mr'];
  const { stdout } = await run('openssl', [...fixed, ...flags, '-evp', 'aes-256-gcm']);
  const perSecond = Number(/^\+F:\d+:[^:]+:([0-9.]+)$/m.exec(stdout)?.[1]);
  if (perSecond > 0) return perSecond;
  throw new Error(`openssl speed said ${stdout}`);
}
