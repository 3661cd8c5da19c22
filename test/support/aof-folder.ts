import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { AofTailOptions } from '@tidemark/aof';
import { AofRun } from './aof-run.ts';
import { TempDir } from './temp-dir.ts';

const fileName = (name: string): string => (/^b\d+$/.test(name) ? `${name}.rdb` : name);

/** An AOF folder written by hand, the way the server changes it. */
export class HandMadeAof implements AsyncDisposable {
  readonly #temp: TempDir;
  readonly dir: string;

  private constructor(temp: TempDir) {
    this.#temp = temp;
    this.dir = join(temp.path, 'aof');
    mkdirSync(this.dir);
  }

  static async create(): Promise<HandMadeAof> {
    return new HandMadeAof(await TempDir.create());
  }

  /** A name like `b1` is that of a base: the server ends those with `.rdb`. */
  path(name: string): string {
    return join(this.dir, fileName(name));
  }

  put(name: string, content: string | Buffer = ''): void {
    writeFileSync(this.path(name), content);
  }

  append(name: string, content: string | Buffer): void {
    appendFileSync(this.path(name), content);
  }

  /** `b1 h1 i1 i2`: type and seq; the file of an `h` is an increment. */
  manifest(text: string, names: Record<string, string> = {}): void {
    const lines = text.split(' ').map((word) => {
      const name = names[word] ?? fileName(word.replace('h', 'i'));
      return `file ${name} seq ${word.slice(1)} type ${word.charAt(0)}\n`;
    });
    writeFileSync(this.path('temp-m'), lines.join(''));
    renameSync(this.path('temp-m'), this.path('m'));
  }

  open(options: Partial<AofTailOptions> & { paused?: boolean } = {}): Promise<AofRun> {
    return AofRun.open({ dir: this.dir, manifestName: 'm', ...options });
  }

  pins(): string[] {
    const root = join(this.#temp.path, '.tidemark-pins');
    if (!existsSync(root)) return [];
    return readdirSync(root)
      .flatMap((name) => readdirSync(join(root, name)))
      .map((name) => name.replace(/^(base|incr)\.(\d+).*$/, '$1$2'))
      .sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#temp[Symbol.asyncDispose]();
  }
}
