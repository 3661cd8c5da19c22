import { systemRandom } from '@tidemark/system';
import { once } from 'node:events';
import { WireSpool } from '../../services/archiver/src/wire/wire-spool.ts';
import { patternBytes } from './pattern.ts';
import { REPLID_A, WIRE_KEY } from './wire-spool.ts';

// A process that appends to the wire spool of a folder until it is stopped, or until the bytes of the
// pattern are all there: `wire-child.ts <dir> <bytes in all> <bytes of a file>`. It says on standard
// output "to N" for what was handed to the operating system, and "failed CODE ERRNO" when the disk
// takes no more; then it goes on.
const [dir = '', total = '0', fileBytes = '0'] = process.argv.slice(2);
const bytes = patternBytes(Number(total));
const say = async (line: string): Promise<void> => {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
};

await using spool = await WireSpool.open({
  ...{ dir, key: WIRE_KEY, writer: 'w-1', bytesMax: 2 ** 30, random: systemRandom },
  fileBytesMax: Number(fileBytes),
});
if (spool.newest === null) await spool.join({ seq: 0, ino: '7', replid: REPLID_A, offset: 0n });
for (let step = 1; ; step++) {
  const at = Number(spool.newest?.to ?? 0n);
  if (at === bytes.length) break;
  const length = 1 + ((step * 7919) % 150_000);
  try {
    await spool.append(bytes.subarray(at, at + length));
    if (step % 3 !== 0) continue;
    await spool.flush();
    await say(`to ${String(spool.newest?.to)}`);
  } catch (cause) {
    const { code, context } = cause as { code: string; context: { errno: string } };
    await say(`failed ${code} ${context.errno}`);
    await spool.settle();
  }
}
await spool.flush();
await say(`to ${String(spool.newest?.to)}`);
