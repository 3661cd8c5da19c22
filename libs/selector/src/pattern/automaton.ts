import type { ByteSet, Program } from './program.ts';
import { StateTable } from './state-table.ts';

const UNKNOWN = -1;
/** The state of no node: no continuation fits. It leads only to itself. */
const DEAD = 0;
const START = 1;

/**
 * Runs a program over keys in time linear in their length, whatever the pattern.
 *
 * States (sets of nodes) and the steps between them are worked out when they are first met and
 * remembered, so that nearly every byte costs one look into a table. The memory is bounded: when it
 * is full all is forgotten and begun anew. A step that is worked out costs at most the edges of the
 * program, so a byte never costs more than that.
 */
export class Automaton {
  /** Edges looked at while steps were worked out: what a key costs beyond one look-up per byte. */
  work = 0;
  /** All bytes that the last run read, or-ed: below 0x80 when they were ASCII. */
  bytesSeen = 0;
  readonly #program: Program;
  /** Bytes that no set of the program tells apart have one class. */
  readonly #classOf = new Uint8Array(256);
  readonly #classes: number;
  /** For a set and a class: whether the set holds the class. */
  readonly #holds: Uint8Array;
  readonly #states: StateTable;
  readonly #from: Int32Array;
  readonly #to: Int32Array;
  /** Next state of a state and a class. */
  #table: Int32Array;
  #accepts: Uint8Array;

  constructor(program: Program) {
    this.#program = program;
    const sampleOf = partition(program.sets, this.#classOf);
    this.#classes = sampleOf.length;
    this.#holds = new Uint8Array(program.sets.length * this.#classes);
    program.sets.forEach((set, number) => {
      sampleOf.forEach((byte, at) => {
        this.#holds[number * this.#classes + at] = set[byte] as number;
      });
    });
    const words = (program.nodes + 31) >>> 5;
    this.#from = new Int32Array(words);
    this.#to = new Int32Array(words);
    this.#states = new StateTable(words);
    this.#table = new Int32Array(8 * this.#classes);
    this.#accepts = new Uint8Array(8);
    this.#begin();
  }

  /** Whether the bytes from `start` to `end` (exclusive) fit the whole pattern. */
  fits(data: Uint8Array, start: number, end: number): boolean {
    const classOf = this.#classOf;
    const classes = this.#classes;
    let table = this.#table;
    let state = START;
    let seen = 0;
    for (let at = start; at < end; at += 1) {
      const byte = data[at] as number;
      seen |= byte;
      let next = table[state * classes + (classOf[byte] as number)] as number;
      if (next === UNKNOWN) {
        next = this.#step(state, classOf[byte] as number);
        table = this.#table;
      }
      state = next;
      if (state === DEAD) break;
    }
    this.bytesSeen = seen;
    return this.#accepts[state] === 1;
  }

  /** Remembers the dead and the first state only. */
  #begin(): void {
    this.#states.clear();
    this.#to.fill(0);
    this.#enter(); // DEAD
    for (let at = 0; at < this.#classes; at += 1) this.#table[at] = DEAD;
    addNode(this.#to, 0);
    this.#skip();
    this.#enter(); // START
  }

  /** Works out the step from a state over a class, and remembers it. */
  #step(state: number, byteClass: number): number {
    const { edgeStart, edgeTo, edgeSet } = this.#program;
    this.#states.read(state, this.#from);
    this.#to.fill(0);
    for (let word = 0; word < this.#from.length; word += 1) {
      for (let bits = this.#from[word] as number; bits !== 0; bits &= bits - 1) {
        const node = (word << 5) + 31 - Math.clz32(bits & -bits);
        const last = edgeStart[node + 1] as number;
        for (let edge = edgeStart[node] as number; edge < last; edge += 1) {
          this.work += 1;
          if (this.#holds[(edgeSet[edge] as number) * this.#classes + byteClass] === 1) {
            addNode(this.#to, edgeTo[edge] as number);
          }
        }
      }
    }
    this.#skip();
    const next = this.#enter();
    if (next !== UNKNOWN) {
      this.#table[state * this.#classes + byteClass] = next;
      return next;
    }
    const kept = this.#to.slice();
    this.#begin();
    this.#to.set(kept);
    return this.#enter();
  }

  /** Adds the nodes that need no byte to be reached. */
  #skip(): void {
    const { parts, skips } = this.#program;
    for (let node = 0; node < parts; node += 1) {
      if (skips[node] === 1 && hasNode(this.#to, node)) addNode(this.#to, node + 1);
    }
    this.work += parts;
  }

  /** The state of the set `#to`; a new one gets an empty row. -1: no room. */
  #enter(): number {
    const before = this.#states.count;
    const state = this.#states.numberOf(this.#to);
    if (state !== before) return state;
    if (state >= this.#accepts.length) this.#grow();
    this.#accepts[state] = hasNode(this.#to, this.#program.parts) ? 1 : 0;
    this.#table.fill(UNKNOWN, state * this.#classes, (state + 1) * this.#classes);
    return state;
  }

  #grow(): void {
    const table = new Int32Array(this.#table.length * 2);
    table.set(this.#table);
    this.#table = table;
    const accepts = new Uint8Array(this.#accepts.length * 2);
    accepts.set(this.#accepts);
    this.#accepts = accepts;
  }
}

const addNode = (set: Int32Array, node: number): void => {
  set[node >>> 5] = (set[node >>> 5] as number) | (1 << (node & 31));
};

const hasNode = (set: Int32Array, node: number): boolean =>
  ((set[node >>> 5] as number) & (1 << (node & 31))) !== 0;

/** Numbers the classes of bytes that all sets treat alike; gives one byte of each. */
function partition(sets: readonly ByteSet[], classOf: Uint8Array): readonly number[] {
  let count = 1;
  for (const set of sets) {
    const split = new Int16Array(512).fill(-1);
    count = 0;
    for (let byte = 0; byte < 256; byte += 1) {
      const pair = (classOf[byte] as number) * 2 + (set[byte] as number);
      if (split[pair] === -1) {
        split[pair] = count;
        count += 1;
      }
      classOf[byte] = split[pair] as number;
    }
  }
  const samples: number[] = [];
  classOf.forEach((number, byte) => {
    samples[number] ??= byte;
  });
  return samples;
}
