import { createCipheriv, createDecipheriv } from 'node:crypto';
import { Opener, Sealer, sealStream, type DataKey } from '@tidemark/crypto';
import { systemRandom } from '@tidemark/system';

const TOTAL_BYTES = 64 * 2 ** 20;
const PUSH_BYTES = 2 ** 20;
const ROUNDS = 15;
const NONCE = Buffer.alloc(12, 1);
const TAG = { authTagLength: 16 };

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

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] as number;
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
 * Throughput of `Sealer` over that of one AES-256-GCM cipher of node:crypto on the same bytes:
 * median of the rounds, each of which runs both. Opening and the stream form stand in the detail.
 */
export async function benchSeal(): Promise<{ ratio: number; of: string; detail: string }> {
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
  const rate = (name: keyof typeof runs): string =>
    (TOTAL_BYTES / 2 ** 20 / (median(times[name]) / 1000)).toFixed(0);
  return {
    ratio: median(times.raw.map((ms, round) => ms / (times.seal[round] ?? NaN))),
    of: 'raw AES-256-GCM of node:crypto over the same bytes',
    detail:
      `64 MiB in pushes of 1 MiB, chunks of 256 KiB: seal ${rate('seal')} MiB/s, raw ` +
      `${rate('raw')}; as a stream ${rate('stream')}; open ${rate('open')}, raw ` +
      `${rate('rawOpen')} MiB/s`,
  };
}
