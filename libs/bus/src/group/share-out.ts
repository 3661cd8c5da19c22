import type { SlotSet } from './slots.ts';

/** A member as the one who shares out sees it. */
export interface Applicant {
  readonly id: string;
  /** Slots that it works on now. */
  readonly held: readonly number[];
  /** Of those, slots that it has shown to have the right to: what another one was given meanwhile waits. */
  readonly proven: readonly number[];
  /** Slots that it has instances in. */
  readonly able: readonly number[];
  /** What it has in each of those; absent: an earlier release, which does not say. */
  readonly sets?: ReadonlyMap<number, SlotSet>;
}

/** Slots of which members have different instances: some of them may be captured by nobody. */
export function slotsThatDiffer(members: readonly Applicant[]): readonly number[] {
  const digests = new Map<number, Set<string>>();
  for (const { sets } of members) {
    for (const [slot, { digest }] of sets ?? []) {
      digests.set(slot, (digests.get(slot) ?? new Set()).add(digest));
    }
  }
  return [...digests].flatMap(([slot, { size }]) => (size > 1 ? [slot] : [])).sort((a, b) => a - b);
}

/**
 * Shares slots out: each to a member that is able, evenly, and moving as few as possible. Of members that
 * have different instances in a slot those with most of them are able: with another one the rest would be
 * captured by nobody.
 *
 * A slot that is to move stays with nobody while its holder still works on it: the holder lets go, and
 * joins again, and then the slot is given. So no slot has two workers. Only who was given it while its
 * holder was away, and waits for it, goes on waiting.
 *
 * @returns Slots of each member, ascending; the same members give the same answer in any order.
 */
export function shareOut(members: readonly Applicant[]): Map<string, readonly number[]> {
  const sorted = [...members].sort((a, b) => (a.id < b.id ? -1 : 1));
  const holders = holdersOf(sorted);
  const wanted = balance(sorted, holders);
  const shares = new Map<string, number[]>(sorted.map(({ id }) => [id, []]));
  for (const [slot, owner] of [...wanted].sort(([a], [b]) => a - b)) {
    const holder = holders.get(slot);
    const isFree = holder === undefined || holder === owner;
    if (isFree || saysHeld(sorted, owner, slot)) shares.get(owner)?.push(slot);
  }
  return shares;
}

/**
 * Who works on a slot; of two that say so, who has the right to it, and else the first. A holder that is
 * not able any more lets go.
 */
function holdersOf(members: readonly Applicant[]): Map<number, string> {
  const holders = new Map<number, string>();
  const note = (slots: readonly number[], id: string): void => {
    for (const slot of slots) if (!holders.has(slot)) holders.set(slot, id);
  };
  for (const { id, proven } of members) note(proven, id);
  for (const { id, held } of members) note(held, id);
  return holders;
}

function saysHeld(members: readonly Applicant[], id: string, slot: number): boolean {
  return members.some((each) => each.id === id && each.held.includes(slot));
}

/** Who can work on each slot: of those that say what they have there, who has most. */
function ableFor(members: readonly Applicant[]): ReadonlyMap<number, readonly string[]> {
  const able = new Map<number, readonly Applicant[]>();
  for (const member of members) {
    for (const slot of new Set(member.able)) able.set(slot, [...(able.get(slot) ?? []), member]);
  }
  return new Map(
    [...able].map(([slot, all]) => {
      const counts = all.map(({ sets }) => sets?.get(slot)?.count ?? null);
      const most = Math.max(...counts.map((count) => count ?? 0));
      return [slot, all.filter((_, at) => (counts[at] ?? most) === most).map(({ id }) => id)];
    }),
  );
}

function balance(
  members: readonly Applicant[],
  holders: ReadonlyMap<number, string>,
): Map<number, string> {
  const able = ableFor(members);
  const owners = new Map<number, string>();
  const loads = new Map<string, number>(members.map(({ id }) => [id, 0]));
  const give = (slot: number, id: string): void => {
    const before = owners.get(slot);
    if (before !== undefined) loads.set(before, (loads.get(before) ?? 0) - 1);
    owners.set(slot, id);
    loads.set(id, (loads.get(id) ?? 0) + 1);
  };
  const least = (ids: readonly string[]): string | undefined =>
    [...ids].sort((a, b) => (loads.get(a) ?? 0) - (loads.get(b) ?? 0) || (a < b ? -1 : 1))[0];
  const slots = [...able.keys()].sort((a, b) => a - b);
  for (const slot of slots) {
    const holder = holders.get(slot);
    if (holder !== undefined && able.get(slot)?.includes(holder) === true) give(slot, holder);
  }
  for (const slot of slots) {
    const id = owners.has(slot) ? undefined : least(able.get(slot) ?? []);
    if (id !== undefined) give(slot, id);
  }
  // Each move makes the loads more even by one, so this ends.
  const even = (takers: (slot: number) => readonly string[]): void => {
    for (let moved = true; moved;) {
      moved = false;
      for (const slot of slots) {
        const from = owners.get(slot);
        const to = least(takers(slot));
        if (from === undefined || to === undefined) continue;
        if ((loads.get(from) ?? 0) - (loads.get(to) ?? 0) < 2) continue;
        give(slot, to);
        moved = true;
      }
    }
  };
  const takers = (slot: number): readonly string[] => able.get(slot) ?? [];
  // To those that wait for it already, where that will do.
  even((slot) => takers(slot).filter((id) => saysHeld(members, id, slot)));
  even(takers);
  return owners;
}
