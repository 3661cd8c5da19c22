import type { FileIdentity } from './model.ts';
import { sameFile } from './pin-names.ts';
import type { SeenFile, SeenVersion } from './seen.ts';

/** One increment on the way from where the reader stands to the newest one. */
export interface ChainNode {
  file: SeenFile;
  /** The base that stands at its first byte. */
  base: SeenFile | null;
  /** Whether that base was given to the caller. */
  baseTold: boolean;
  /** The base of a rewrite that stands at its first byte and holds commands: no snapshot. */
  commandBase: SeenFile | null;
  /** Whether its pin went over a limit. */
  dropped: boolean;
}

const nodeOf = (file: SeenFile): ChainNode => ({
  file,
  base: null,
  baseTold: false,
  commandBase: null,
  dropped: false,
});

const hasBase = ({ base, file }: ChainNode): boolean => base !== null || file.head !== undefined;

/** Whether one manifest that was read listed `next` right after `node`, both as `i`. */
export function isProven(node: ChainNode, next: ChainNode): boolean {
  const { previous } = next.file;
  return previous !== null && sameFile(previous, node.file);
}

/**
 * The increments that are still to be read, in order, built from the manifests that were read.
 *
 * Pure: no files, no time. Two increments are continuous only when one manifest listed the second
 * right after the first, both as `i` (`SeenFile.previous`); everything else is a break. A base
 * stands at the start of the first increment of every manifest that lists it.
 */
export class Chain {
  /** The node being read is first. */
  readonly nodes: ChainNode[] = [];
  /** How many versions were applied. */
  versions = 0;
  #manifest: ChainNode[] = [];
  #history: readonly SeenFile[] = [];
  #headless = false;
  #orphans: SeenFile[] = [];
  /** The newest increment that was given up although the manifest lists it. */
  #givenUp: FileIdentity | null = null;

  /** Takes the next manifest version. */
  apply(version: SeenVersion): void {
    this.versions++;
    this.#history = version.history;
    this.#headless = version.closed ?? version.incr.length === 0;
    const before = this.#manifest;
    this.#manifest = [];
    // What stands before the first known increment was read already: it is not queued again.
    const known = Math.max(
      version.incr.findIndex((file) => file !== null && this.find(file) !== null),
      version.incr.findIndex((file) => file !== null && this.#isGivenUp(file)),
    );
    for (const [i, file] of version.incr.entries()) {
      if (file === null) continue;
      const node = this.find(file) ?? nodeOf(file);
      node.file = file;
      this.#manifest.push(node);
      if (i > known && !this.nodes.includes(node)) this.nodes.push(node);
    }
    this.#noteOrphans(before);
    const first = version.incr[0] === null ? undefined : this.#manifest[0];
    if (first === undefined) return;
    const { base } = version;
    const second = this.#manifest[1];
    if (first.file.head !== undefined && second !== undefined && !isProven(first, second)) {
      if (second.commandBase === null) second.baseTold = false;
      second.commandBase = first.file;
    }
    if (base === null) return;
    if (first.base === null || !sameFile(first.base, base)) first.baseTold = false;
    first.base = base;
  }

  /**
   * Lets go of everything through a file, for good: its bytes cannot be read. Goes on at the next
   * increment, when there is one.
   * @returns The nodes that were let go.
   */
  giveUp(file: FileIdentity): readonly ChainNode[] {
    this.#givenUp = file;
    const last = this.nodes.findIndex((node) => sameFile(node.file, file));
    return this.nodes.splice(0, last + 1);
  }

  #isGivenUp(file: FileIdentity): boolean {
    return this.#givenUp !== null && sameFile(this.#givenUp, file);
  }

  /** Files that the manifest in force lists as history. */
  get history(): readonly SeenFile[] {
    return this.#history;
  }

  /** Bases in command form that left the manifest and were never queued: nobody reads them. */
  takeOrphans(): readonly SeenFile[] {
    return this.#orphans.splice(0);
  }

  #noteOrphans(before: readonly ChainNode[]): void {
    for (const { file } of before) {
      if (file.head === undefined || this.find(file) !== null) continue;
      if (!this.#manifest.some((node) => sameFile(node.file, file))) this.#orphans.push(file);
    }
  }

  /** Puts increments of an earlier process before the others. */
  seed(files: readonly SeenFile[]): void {
    const later = this.nodes.splice(0);
    for (const file of files) {
      if (later.some((node) => sameFile(node.file, file))) break;
      this.nodes.push(nodeOf(file));
    }
    this.nodes.push(...later);
  }

  /** The node of a file, if it is still to be read. */
  find(file: FileIdentity): ChainNode | null {
    return this.nodes.find((node) => sameFile(node.file, file)) ?? null;
  }

  /** The node after one. */
  after(node: ChainNode): ChainNode | null {
    return this.nodes[this.nodes.indexOf(node) + 1] ?? null;
  }

  /** The newest increment of the manifest in force, or `null` when it has none. */
  get newest(): ChainNode | null {
    return this.#manifest.at(-1) ?? null;
  }

  /** Whether the manifest in force lists no increment at all: the log is not written any more. */
  get headless(): boolean {
    return this.#headless;
  }

  /** A file that the manifest in force lists, as increment or history, by identity. */
  listed(file: FileIdentity): SeenFile | null {
    return (
      this.#manifest.find((node) => sameFile(node.file, file))?.file ??
      this.#history.find((old) => sameFile(old, file)) ??
      null
    );
  }

  /** Whether the manifest in force lists an increment of this name and seq. */
  hasNamed(name: string, seq: number): boolean {
    return this.#manifest.some(({ file }) => file.name === name && file.seq === seq);
  }

  /** Lets go what comes before a node. */
  cutBefore(node: ChainNode): readonly ChainNode[] {
    return this.nodes.splice(0, Math.max(0, this.nodes.indexOf(node)));
  }

  /**
   * Lets go of everything through a file and goes on at the next place where a new timeline can
   * start: an increment whose base is at hand, else the first one of the manifest in force.
   * @param file - Nothing happens when it is not on the way.
   * @returns The nodes that were let go.
   */
  skipPast(file: FileIdentity): readonly ChainNode[] {
    const last = this.nodes.findIndex((node) => sameFile(node.file, file));
    if (last < 0) return [];
    const start = this.nodes.findIndex(
      (node, i) => i > last && !node.dropped && (hasBase(node) || node === this.#manifest[0]),
    );
    if (start >= 0) return this.nodes.splice(0, start);
    const gone = this.nodes.splice(0);
    const [first] = this.#manifest;
    const fresh = first?.file.head !== undefined && !first.dropped;
    if (!fresh || this.#manifest.some((node) => sameFile(node.file, file))) return gone;
    this.nodes.push(...this.#manifest);
    return gone.filter((node) => !this.nodes.includes(node));
  }

  /**
   * Starts over at the first increment of the manifest in force.
   * @returns The nodes that were let go.
   */
  restart(): readonly ChainNode[] {
    const gone = this.nodes.splice(0).filter((node) => !this.#manifest.includes(node));
    for (const node of this.#manifest) {
      node.dropped = false;
      node.baseTold = false;
      this.nodes.push(node);
    }
    return gone;
  }

  /** A pin went over a limit. */
  drop(file: SeenFile): void {
    for (const node of this.nodes) {
      if (file.type === 'i' && sameFile(node.file, file)) node.dropped = true;
      if (file.type === 'b' && node.base !== null && sameFile(node.base, file)) node.base = null;
    }
  }
}
