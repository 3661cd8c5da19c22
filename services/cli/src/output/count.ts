import { formatBytes } from './table.ts';

/** A number with its noun: `1 key`, `2 keys`. */
export function countOf(count: number, noun: string): string {
  return `${count.toString()} ${noun}${count === 1 ? '' : 's'}`;
}

/** How much of something was read: never more than there is, though a part was read twice. */
export function sizeOf(read: number, all: number): string {
  return `${formatBytes(Math.min(read, all))} of ${formatBytes(all)}`;
}
