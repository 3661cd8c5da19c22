import type { RespValue } from './decoder.ts';

/**
 * The arguments of a request, when the value is one: a non-empty array of bulk strings.
 * @returns `null` for every other value.
 */
export function commandArguments(value: RespValue): readonly Buffer[] | null {
  if (!Array.isArray(value) || value.length === 0) return null;
  const args: Buffer[] = [];
  for (const item of value as readonly RespValue[]) {
    if (!Buffer.isBuffer(item)) return null;
    args.push(item);
  }
  return args;
}
