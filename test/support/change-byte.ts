import { readFile, writeFile } from 'node:fs/promises';

/** Changes one byte of a file, as a disk may. */
export async function changeByte(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  bytes.writeUInt8(bytes.at(at)! ^ 0x40, at < 0 ? bytes.length + at : at);
  await writeFile(path, bytes);
}
