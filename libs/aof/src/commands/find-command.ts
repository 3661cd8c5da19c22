import { COMMANDS, SPEC_UNKNOWN } from './command-table.ts';

const SLOT_COUNT = 1024;
const SLOT_MASK = SLOT_COUNT - 1;

/** Lower case of every byte; only A-Z differ from the byte itself. */
export const LOWER_CASE: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte,
);

const names = COMMANDS.map((spec) => Buffer.from(spec.name, 'latin1'));
const NAME_BYTES_MAX = Math.max(...names.map((name) => name.length));
const NAME_AT = new Uint32Array(names.length + 1);
const NAME_BYTES = new Uint8Array(names.reduce((sum, name) => sum + name.length, 0));
const SLOTS = new Uint16Array(SLOT_COUNT);

/** Four bytes and the length tell nearly all names apart; 0x20 makes letters lower case. */
function slotOf(data: Uint8Array, start: number, end: number): number {
  const length = end - start;
  const second = length > 1 ? (data[start + 1] as number) | 0x20 : 0;
  const hash =
    ((data[start] as number) | 0x20) +
    Math.imul(second, 173) +
    Math.imul((data[start + (length >> 1)] as number) | 0x20, 1021) +
    Math.imul((data[end - 1] as number) | 0x20, 31) +
    Math.imul(length, 6151);
  return (hash ^ (hash >>> 7)) & SLOT_MASK;
}

function fillSlots(): void {
  let at = 0;
  for (const [spec, name] of names.entries()) {
    NAME_AT[spec] = at;
    NAME_BYTES.set(name, at);
    at += name.length;
    NAME_AT[spec + 1] = at;
    if (spec === SPEC_UNKNOWN) continue;
    let slot = slotOf(name, 0, name.length);
    while (SLOTS[slot] !== 0) slot = (slot + 1) & SLOT_MASK;
    SLOTS[slot] = spec;
  }
}
fillSlots();

/**
 * Index of the command that `data[start..end)` names, in any case of letters, or 0. Allocates
 * nothing.
 */
export function findCommand(data: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length <= 0 || length > NAME_BYTES_MAX) return SPEC_UNKNOWN;
  let slot = slotOf(data, start, end);
  for (;;) {
    const spec = SLOTS[slot] as number;
    if (spec === SPEC_UNKNOWN) return SPEC_UNKNOWN;
    const nameAt = NAME_AT[spec] as number;
    if ((NAME_AT[spec + 1] as number) - nameAt === length) {
      let same = 0;
      while (
        same < length &&
        LOWER_CASE[data[start + same] as number] === NAME_BYTES[nameAt + same]
      ) {
        same += 1;
      }
      if (same === length) return spec;
    }
    slot = (slot + 1) & SLOT_MASK;
  }
}
