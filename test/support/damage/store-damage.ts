import { readFile, rm, writeFile } from 'node:fs/promises';
import { parseObjectKey } from '@tidemark/archive';
import type { StoreFile } from '../store-files.ts';
import type { Dice } from '../workload/dice.ts';

/** Damage that was done to a file-system store and can be taken back. */
export interface StoreDamage {
  /** What was done, for messages. */
  readonly what: string;
  /** The objects that were touched. */
  readonly keys: readonly string[];
  undo(): Promise<void>;
}

const KINDS = ['flip', 'flip', 'flip', 'flip', 'remove', 'swap', 'cut', 'extend'] as const;

/** Damages one or two files of a store in a random way. */
export async function damageAtRandom(
  files: readonly StoreFile[],
  dice: Dice,
): Promise<StoreDamage> {
  const file = dice.pick(files);
  const bytes = await readFile(file.path);
  const kind = dice.pick(KINDS);
  const undo = (): Promise<void> => writeFile(file.path, bytes);
  switch (kind) {
    case 'remove':
      await rm(file.path);
      return { what: `${file.key} removed`, keys: [file.key], undo };
    case 'cut': {
      const length = dice.between(0, bytes.length - 1);
      await writeFile(file.path, bytes.subarray(0, length));
      return { what: `${file.key} cut to ${length} bytes`, keys: [file.key], undo };
    }
    case 'extend':
      await writeFile(file.path, Buffer.concat([bytes, dice.bytes(dice.between(1, 2_000))]));
      return { what: `${file.key} extended`, keys: [file.key], undo };
    case 'swap':
      return swap(file, files, dice);
    case 'flip':
      return flipBit(file, dice.between(0, bytes.length - 1), dice.between(0, 7));
  }
}

/** Turns one bit of a file. */
export async function flipBit(file: StoreFile, at: number, bit = 0): Promise<StoreDamage> {
  const bytes = await readFile(file.path);
  const flipped = Buffer.from(bytes);
  flipped[at] = (flipped[at] ?? 0) ^ (1 << bit);
  await writeFile(file.path, flipped);
  return {
    what: `${file.key} byte ${at} bit ${bit}`,
    keys: [file.key],
    undo: () => writeFile(file.path, bytes),
  };
}

/** Swaps a file with another one of its kind, or with any when it is the only one. */
async function swap(
  file: StoreFile,
  files: readonly StoreFile[],
  dice: Dice,
): Promise<StoreDamage> {
  const others = files.filter(({ key }) => key !== file.key);
  const kind = parseObjectKey(file.key)?.kind;
  const alike = others.filter(({ key }) => parseObjectKey(key)?.kind === kind);
  const other = dice.pick(alike.length > 0 ? alike : others);
  const [bytes, otherBytes] = await Promise.all([readFile(file.path), readFile(other.path)]);
  await writeFile(file.path, otherBytes);
  await writeFile(other.path, bytes);
  return {
    what: `${file.key} and ${other.key} swapped`,
    keys: [file.key, other.key],
    undo: async () => {
      await writeFile(file.path, bytes);
      await writeFile(other.path, otherBytes);
    },
  };
}
