/** The bytes that one step may read: 256 flags. */
export type ByteSet = Uint8Array;

/** A set of the bytes `first` to `last`, inclusive. */
export function byteRange(first: number, last: number): ByteSet {
  return new Uint8Array(256).fill(1, first, last + 1);
}

/** How often a part may occur. */
export type Repeat = 'once' | 'maybe' | 'any';

/** One part of a pattern: what stands at its place, each path a sequence of byte sets. */
export interface PatternPart {
  readonly paths: readonly (readonly ByteSet[])[];
  readonly repeat: Repeat;
}

/**
 * A pattern as a machine over bytes that may be in several nodes at once.
 *
 * The main nodes 0 to `parts` stand before, between and behind the parts; from 0 a key is read, and
 * it fits if the last main node is reached at its end. Further nodes lie within characters of more
 * than one byte.
 */
export interface Program {
  readonly parts: number;
  readonly nodes: number;
  /** Edges of node n: from `edgeStart[n]` to `edgeStart[n + 1]`. */
  readonly edgeStart: Int32Array;
  readonly edgeTo: Int32Array;
  /** Number of the set of an edge in `sets`. */
  readonly edgeSet: Int32Array;
  readonly sets: readonly ByteSet[];
  /** Whether a main node may be left for the next one without a byte. */
  readonly skips: Uint8Array;
}

interface Edge {
  readonly set: number;
  readonly to: number;
}

/** Puts the parts of a pattern together. */
export function buildProgram(parts: readonly PatternPart[]): Program {
  const builder = new ProgramBuilder(parts.length);
  parts.forEach((part, index) => builder.add(index, part));
  return builder.build();
}

class ProgramBuilder {
  readonly #parts: number;
  readonly #edges: Edge[][];
  readonly #skips: Uint8Array;
  readonly #sets: ByteSet[] = [];
  readonly #numberOfSet = new Map<string, number>();

  constructor(parts: number) {
    this.#parts = parts;
    this.#edges = Array.from({ length: parts + 1 }, () => []);
    this.#skips = new Uint8Array(parts + 1);
  }

  add(index: number, { paths, repeat }: PatternPart): void {
    const end = repeat === 'any' ? index : index + 1;
    if (repeat !== 'once') this.#skips[index] = 1;
    // Characters that end alike share their last nodes; few nodes make few states.
    const shared = new Map<string, number>();
    for (const path of paths) {
      let to = end;
      for (let at = path.length - 1; at > 0; at -= 1) {
        const set = this.#setNumber(path[at] as ByteSet);
        const name = `${set.toString()}>${to.toString()}`;
        let node = shared.get(name);
        if (node === undefined) {
          node = this.#edges.push([{ set, to }]) - 1;
          shared.set(name, node);
        }
        to = node;
      }
      this.#edges[index]?.push({ set: this.#setNumber(path[0] as ByteSet), to });
    }
  }

  build(): Program {
    const nodes = this.#edges.length;
    const edgeStart = new Int32Array(nodes + 1);
    this.#edges.forEach((edges, node) => {
      edgeStart[node + 1] = (edgeStart[node] as number) + edges.length;
    });
    const all = this.#edges.flat();
    return {
      parts: this.#parts,
      nodes,
      edgeStart,
      edgeTo: Int32Array.from(all, ({ to }) => to),
      edgeSet: Int32Array.from(all, ({ set }) => set),
      sets: this.#sets,
      skips: this.#skips,
    };
  }

  #setNumber(set: ByteSet): number {
    const name = Buffer.from(set.buffer, set.byteOffset, set.length).toString('latin1');
    const known = this.#numberOfSet.get(name);
    if (known !== undefined) return known;
    const number = this.#sets.push(set) - 1;
    this.#numberOfSet.set(name, number);
    return number;
  }
}
