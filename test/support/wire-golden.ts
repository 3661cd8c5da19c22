import { createDecipheriv, createHash, hkdfSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { seededRandom } from './crypto-ports.ts';
import { openWire, REPLID_A, REPLID_B, WIRE_KEY, wireFiles } from './wire-spool.ts';

/** Files of a wire spool as hex, by name. */
export type WireGolden = Readonly<Record<string, string>>;

/** Writes the spool of the fixture: a history with a rename, one that was joined, and an aside. */
export async function writeGolden(dir: string): Promise<void> {
  await using spool = await openWire(dir, { random: seededRandom('wire golden') });
  await spool.beginSync({ seq: 0, replid: REPLID_A, offset: 2n ** 40n });
  await spool.appendSnapshot(Buffer.from('REDIS0011 and so on'));
  await spool.endSnapshot();
  for (const text of ['*1\r\n$4\r\nPING\r\n', '*1\r\n']) {
    await spool.append(Buffer.from(text));
    await spool.flush();
  }
  await spool.continueAs(REPLID_B);
  await spool.append(Buffer.from('$4\r\nPING\r\n'));
  await spool.join({ seq: 1, ino: '4611686018427387903', replid: REPLID_B, offset: 7n });
  await spool.append(Buffer.from('x'));
  async function* aside(): AsyncGenerator<Buffer> {
    yield await Promise.resolve(Buffer.from('beside'));
  }
  await spool.writeAside('b-1', aside());
}

/** What lies in a folder, as the fixture has it. */
export async function goldenOf(dir: string): Promise<WireGolden> {
  const golden: Record<string, string> = {};
  for (const kind of ['stream', 'snapshot', 'aside']) {
    for (const path of await wireFiles(dir, kind)) {
      golden[basename(path)] = await readFile(path, 'hex');
    }
  }
  return golden;
}

/** A file read by the byte table of docs/formats/wire-spool.md, without Tidemark. */
export function readByTable(file: Buffer): {
  readonly kind: number;
  readonly seq: bigint;
  readonly history: bigint;
  readonly start: bigint;
  readonly snapshotOffset: bigint;
  readonly replid: string;
  readonly writer: string;
  readonly name: string;
  readonly frames: readonly string[];
} {
  const length = file.readUInt16BE(10);
  const header = file.subarray(0, length);
  const h = createHash('sha512').update(header).digest();
  const info = Buffer.concat([Buffer.from('tidemark/frames/v1\0', 'latin1'), h]);
  const okm = Buffer.from(hkdfSync('sha512', WIRE_KEY.key, file.subarray(32, 64), info, 64));
  if (!okm.subarray(32).equals(file.subarray(length, length + 32))) throw new Error('commitment');
  const frames: string[] = [];
  for (let at = length + 32; at < file.length;) {
    const head = file.subarray(at, at + 16);
    const end = at + 16 + head.readUInt32BE(0);
    const nonce = Buffer.concat([Buffer.alloc(4), head.subarray(8, 16)]);
    const opener = createDecipheriv('aes-256-gcm', okm.subarray(0, 32), nonce);
    opener.setAAD(Buffer.concat([h.subarray(0, 32), head]));
    opener.setAuthTag(file.subarray(end, end + 16));
    const plain = Buffer.concat([opener.update(file.subarray(at + 16, end)), opener.final()]);
    frames.push(`${head[4]} ${head.readBigUInt64BE(8)} ${plain.toString('latin1')}`);
    at = end + 16;
  }
  const writerEnd = 137 + file.readUInt8(136);
  return {
    kind: file.readUInt8(9),
    seq: file.readBigUInt64BE(64),
    history: file.readBigUInt64BE(72),
    start: file.readBigUInt64BE(80),
    snapshotOffset: file.readBigUInt64BE(88),
    replid: file.toString('latin1', 96, 136),
    writer: file.toString('utf8', 137, writerEnd),
    name: file.toString('latin1', writerEnd + 1, writerEnd + 1 + file.readUInt8(writerEnd)),
    frames,
  };
}
