import type { BaseFile, FileIdentity } from './model.ts';
import type { ChainNode } from './chain.ts';
import type { PinKeeper } from './pin-keeper.ts';
import { sameFile } from './pin-names.ts';
import type { SeenFile } from './seen.ts';

const keyOf = (file: FileIdentity): string => `${file.seq}.${file.dev}.${file.ino}`;

const baseless = (
  form: 'empty' | 'commands',
  { name, seq }: SeenFile,
  alignedSeq: number,
): BaseFile => ({ form, name, seq, path: '', size: 0, alignedSeq });

/** Which files the caller has been given and may still need: they stay held until it says so. */
export class TailReleases {
  readonly #pins: PinKeeper;
  /** Increments that were read to their end or given up, oldest first. */
  readonly #passed: SeenFile[] = [];
  readonly #toldBases = new Set<string>();

  constructor(pins: PinKeeper) {
    this.#pins = pins;
  }

  /**
   * The base at the start of an increment, as the caller gets it.
   * @param headBytes - Bytes of the RDB that the file itself begins with.
   */
  tellBase(node: ChainNode, headBytes = 0): BaseFile | null {
    node.baseTold = true;
    const { file } = node;
    const alignedSeq = file.seq;
    if (file.head === 'rdb') return this.#pins.headOf(file, headBytes);
    if (file.head === 'none') return baseless('empty', file, alignedSeq);
    if (node.commandBase !== null) return baseless('commands', node.commandBase, alignedSeq);
    if (node.base === null) return null;
    this.#toldBases.add(keyOf(node.base));
    return this.#pins.baseOf(node.base, node.file.seq);
  }

  /** The base at the start of an increment that is gone on with; not one whose length is not known. */
  passBase(node: ChainNode): BaseFile | null {
    node.baseTold = true;
    return node.file.head === 'rdb' ? null : this.tellBase(node);
  }

  /** What was let go: increments wait for their release, bases nobody was told of go at once. */
  async pass(nodes: readonly ChainNode[]): Promise<void> {
    for (const { file, base } of nodes) {
      if (!this.#passed.some((old) => sameFile(old, file))) this.#passed.push(file);
      if (base !== null && !this.#toldBases.has(keyOf(base))) await this.#pins.letGo([base]);
    }
  }

  /** Increments that are read once more: their pins are needed again. */
  takeBack(nodes: readonly ChainNode[]): void {
    for (const { file, base } of nodes) {
      this.forget(file);
      this.#pins.holdAgain(file);
      if (base !== null) this.#pins.holdAgain(base);
    }
  }

  /** Whether a file was read to its end and waits for its release. */
  awaits(file: SeenFile): boolean {
    return this.#passed.some((old) => sameFile(old, file));
  }

  /** A file whose pin is gone already. */
  forget(file: SeenFile): void {
    const at = this.#passed.findIndex((old) => sameFile(old, file));
    if (file.type === 'i' && at >= 0) this.#passed.splice(at, 1);
  }

  /** Lets go, oldest first, up to a seq; stops at the first higher one. */
  async through(seq: number): Promise<void> {
    const count = this.#passed.findIndex((file) => file.seq > seq);
    await this.#letGo(count < 0 ? this.#passed.length : count);
  }

  /** Lets go of everything before a file; `current` is the one being read. */
  async before(file: FileIdentity, current: SeenFile | null): Promise<void> {
    const at = this.#passed.findIndex((old) => sameFile(old, file));
    if (at >= 0) return this.#letGo(at);
    if (current !== null && sameFile(current, file)) await this.#letGo(this.#passed.length);
  }

  /** Lets go of the bases of a name that the caller was told of. */
  async base(name: string): Promise<void> {
    const told = this.#pins.basesNamed(name).filter((file) => this.#toldBases.has(keyOf(file)));
    await this.#pins.letGo(told);
    for (const file of told) this.#toldBases.delete(keyOf(file));
  }

  async #letGo(count: number): Promise<void> {
    await this.#pins.letGo(this.#passed.splice(0, count));
  }
}
