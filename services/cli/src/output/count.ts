import { formatBytes } from './table.ts';

/** A number with its noun: `1 key`, `2 keys`, `2 entries`. */
export function countOf(count: number, noun: string): string {
  if (count === 1) return `1 ${noun}`;
  const many = /[^aeiou]y$/.test(noun) ? `${noun.slice(0, -1)}ies` : `${noun}s`;
  return `${count.toString()} ${many}`;
}

/** How much of something was read: never more than there is, though a part was read twice. */
export function sizeOf(read: number, all: number): string {
  return `${formatBytes(Math.min(read, all))} of ${formatBytes(all)}`;
}
