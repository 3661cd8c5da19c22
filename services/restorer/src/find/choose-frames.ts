import { COMMANDS, findCommand, SPEC_UNKNOWN } from '@tidemark/aof';
import type {
  CommandCounts,
  FlowEntry,
  KeyIndex,
  SegmentFooter,
  SegmentFrame,
} from '@tidemark/archive';
import type { KeyMatcher } from './found-command.ts';

/** Keys over this length stand in no index. */
const INDEXED_KEY_MAX = 4_096;

/** Up to so many look-ups are made in a filter; with more the segment is taken to hold one. */
const LOOK_UPS_MAX = 100_000;

/** Under this name the footer counts commands that have none of their own. */
const OTHER = '(other)';

/** What is looked for in a segment. */
export interface WantedCommands {
  /** Lower case; null = commands of any name. */
  readonly names: ReadonlySet<string> | null;
  /** null = commands with any key, or none. */
  readonly keys: KeyMatcher | null;
}

/** What a footer says of a wanted command. */
export interface FrameChoice {
  /** Frames of which bytes are needed, rising. */
  readonly chosen: readonly number[];
  readonly frames: readonly SegmentFrame[];
  /**
   * Commands that may have changed anything, known without reading them; null = the footer does not
   * list them, so that the commands themselves must be looked at.
   */
  readonly unknown: readonly FlowEntry[] | null;
}

const NOTHING: FrameChoice = { chosen: [], frames: [], unknown: [] };

/**
 * Tells from the footer alone which frames can hold a wanted command.
 * @throws FormatError `TM_SEGMENT_FORMAT`.
 */
export async function chooseFrames(
  footer: SegmentFooter,
  wanted: WantedCommands,
): Promise<FrameChoice> {
  const { names } = wanted;
  if (footer.header.commands === 0) return NOTHING;
  if (names === null) return chooseByKey(footer, wanted);
  const counts = await footer.stats();
  const present = [...names].filter((name) => (counts[name] ?? 0) > 0);
  const hidden = (counts[OTHER] ?? 0) > 0 ? [...names].filter(isUnknown) : [];
  if (present.length + hidden.length === 0) return NOTHING;
  const frames = await footer.frames();
  const flow = await footer.flow();
  const all = { chosen: frames.map((_, i) => i), frames, unknown: null };
  if (!flow.complete) return { ...all, chosen: await withKeys(footer, frames, wanted) };
  const listed = flow.entries.filter(({ command }) => names.has(command));
  const matching = listed.filter((entry) => mayReach(entry, wanted.keys));
  const chosen = new Set(framesHolding(frames, matching));
  // Where the flow section lists every one of them, it says where each is.
  if (hidden.length > 0 || !listsAll(listed, present, counts)) {
    for (const frame of await withKeys(footer, frames, wanted)) chosen.add(frame);
  }
  return { chosen: rising(chosen), frames, unknown: null };
}

async function chooseByKey(footer: SegmentFooter, wanted: WantedCommands): Promise<FrameChoice> {
  const frames = await footer.frames();
  const flow = await footer.flow();
  if (!flow.complete) return { chosen: frames.map((_, i) => i), frames, unknown: null };
  const global = flow.entries.filter(
    (entry) => isGlobal(entry) && entry.effect !== 'unknown' && mayReach(entry, wanted.keys),
  );
  const chosen = new Set(framesHolding(frames, global));
  for (const frame of await withKeys(footer, frames, wanted)) chosen.add(frame);
  const unknown = flow.entries.filter(({ effect }) => effect === 'unknown');
  return { chosen: rising(chosen), frames, unknown };
}

/** Whether a command reaches what it does not name. */
export function isGlobal({ effect }: Pick<FlowEntry, 'effect'>): boolean {
  return effect !== 'keys' && effect !== 'functions';
}

/** Whether a command of the flow section can reach a wanted key. */
function mayReach(entry: FlowEntry, keys: KeyMatcher | null): boolean {
  if (keys === null) return true;
  switch (entry.effect) {
    case 'flush-db':
      return keys.matchesDb(entry.db);
    case 'swap-db': {
      const { first = 0, second = 0 } = entry.swapped ?? {};
      return keys.matchesDb(first) || keys.matchesDb(second);
    }
    case 'functions':
      return false;
    case 'keys':
      return entry.keys.some(({ db, key }) => keys.matches(db, key));
    default:
      return true;
  }
}

function listsAll(
  listed: readonly FlowEntry[],
  present: readonly string[],
  counts: CommandCounts,
): boolean {
  return present.every(
    (name) => listed.filter(({ command }) => command === name).length === counts[name],
  );
}

/** The frames in which commands of the flow section have bytes. */
function framesHolding(
  frames: readonly SegmentFrame[],
  entries: readonly FlowEntry[],
): readonly number[] {
  const offsets = new Set(entries.map(({ offset }) => offset));
  if (offsets.size === 0) return [];
  const rest = [...offsets].sort((a, b) => (a < b ? -1 : 1));
  let at = 0;
  return frames.flatMap(({ start, rawLength, partialBytes }, index) => {
    const end = start + BigInt(rawLength);
    while ((rest[at] ?? end) < start) at += 1;
    const begins = (rest[at] ?? end) < end;
    const goesOn = partialBytes > 0 && offsets.has(start - BigInt(partialBytes));
    return begins || goesOn ? [index] : [];
  });
}

/** The frames that may hold a wanted key: all of them where the index cannot tell. */
async function withKeys(
  footer: SegmentFooter,
  frames: readonly SegmentFrame[],
  { keys }: WantedCommands,
): Promise<readonly number[]> {
  const all = frames.map((_, i) => i);
  if (keys === null) return all;
  const { literals } = keys;
  if (literals?.some(({ length }) => length > INDEXED_KEY_MAX) === true) return all;
  const index = await footer.keys();
  const found = new Set<number>();
  const listed = index.forEach((db, key, held) => {
    if (keys.matches(db, key)) for (const frame of held) found.add(frame);
  });
  if (listed) return rising(found);
  const { maxDb } = footer.header;
  return literals !== null && !mayHold(index, literals, keys, maxDb) ? [] : all;
}

function mayHold(
  index: KeyIndex,
  literals: readonly Buffer[],
  keys: KeyMatcher,
  maxDb: number,
): boolean {
  if (index.kind === 'none' || literals.length * (maxDb + 1) > LOOK_UPS_MAX) return true;
  for (let db = 0; db <= maxDb; db++) {
    if (!keys.matchesDb(db)) continue;
    if (literals.some((key) => index.mayContain(db, key))) return true;
  }
  return false;
}

function isUnknown(name: string): boolean {
  const bytes = Buffer.from(name, 'latin1');
  return COMMANDS[findCommand(bytes, 0, bytes.length)] === COMMANDS[SPEC_UNKNOWN];
}

function rising(frames: ReadonlySet<number>): readonly number[] {
  return [...frames].sort((a, b) => a - b);
}
