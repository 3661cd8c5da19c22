import { NodeError } from '@tidemark/core';

/** A place in what the node calls its history. */
export interface ClaimedPlace {
  readonly seq: number;
  readonly ino: string;
  readonly replid: string;
  readonly position: number;
}

/** A claim that waits. */
export interface Claim {
  /**
   * Resolves once the bytes before the place were read under its replication id.
   * @throws NodeError `TM_REPLICATION` once they never will be.
   */
  readonly passed: Promise<void>;
  /** Nobody waits any more. */
  release(): void;
}

interface Waiting {
  readonly place: ClaimedPlace;
  readonly pass: () => void;
  readonly lose: (cause: Error) => void;
}

/**
 * Holds what was taken beside the stream back until what is read has got there. The node may have
 * been further than what it had sent: when another one is promoted, which goes on under an id of its
 * own, the offset is of another branch, in which that state never was.
 */
export class BesideClaims {
  readonly #waiting = new Set<Waiting>();
  /** What was read last, and how far; null: nothing that is used. */
  #at: ClaimedPlace | null = null;

  claim(place: ClaimedPlace): Claim {
    let [pass, lose] = [(): void => undefined, (_: Error): void => undefined];
    const passed = new Promise<void>((resolve, reject) => {
      [pass, lose] = [resolve, reject];
    });
    passed.catch(() => undefined); // it may be lost before anybody waits
    const waiting = { place, pass, lose };
    this.#waiting.add(waiting);
    this.#look();
    return { passed, release: () => void this.#waiting.delete(waiting) };
  }

  /** A history is read from a place on. */
  noteHistory(at: ClaimedPlace): void {
    this.#at = at;
    this.#loseWhere(({ seq, ino }) => ino !== at.ino && seq <= at.seq);
    this.#look();
  }

  /** Bytes were read, up to here. */
  noteRead(position: number): void {
    if (this.#at === null) return;
    this.#at = { ...this.#at, position };
    if (this.#waiting.size > 0) this.#look();
  }

  /** Behind this position the history goes on under another id. */
  noteRenamed(replid: string, position: number): void {
    if (this.#at === null) return;
    this.noteRead(position);
    const { ino, replid: former } = this.#at;
    this.#loseWhere((place) => place.ino === ino && place.replid === former);
    this.#at = { ...this.#at, replid };
    this.#look();
  }

  /** What is read is given up. */
  loseAll(): void {
    this.#at = null;
    this.#loseWhere(() => true);
  }

  #look(): void {
    const at = this.#at;
    if (at === null) return;
    for (const waiting of this.#waiting) {
      const { ino, replid, position } = waiting.place;
      if (ino !== at.ino || replid !== at.replid || position > at.position) continue;
      this.#waiting.delete(waiting);
      waiting.pass();
    }
  }

  #loseWhere(isLost: (place: ClaimedPlace) => boolean): void {
    for (const waiting of this.#waiting) {
      if (!isLost(waiting.place)) continue;
      this.#waiting.delete(waiting);
      waiting.lose(otherHistory(waiting.place));
    }
  }
}

/** What was taken stands in no history that is captured. */
export function otherHistory({ replid, position }: Omit<ClaimedPlace, 'seq' | 'ino'>): NodeError {
  return new NodeError('TM_REPLICATION', 'the node went over to another history meanwhile', {
    context: { replid, position },
    hint: 'ask again',
  });
}
