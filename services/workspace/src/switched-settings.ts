import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { NodeClient } from '@tidemark/client';

/** The settings of a node that were switched with consent, and how they were before. */
export class SwitchedSettings {
  readonly #path: string;

  /** @param id - Of the instance. */
  constructor(stateDir: string, id: string) {
    this.#path = join(stateDir, 'instances', `${id}.json`);
  }

  /** Switches one. It is noted before it is done: whatever happens next, `putBack` knows of it. */
  async switch(client: NodeClient, name: string, value: string, before: string): Promise<void> {
    const known = await this.#read();
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    // The first value is the user's own; a later one may be ours.
    const note = JSON.stringify({ [name]: before, ...known });
    await writeFile(this.#path, note, { mode: 0o600 });
    await client.configSet(name, value);
  }

  /** The names of those that were switched. */
  async names(): Promise<readonly string[]> {
    return Object.keys(await this.#read());
  }

  /** Puts all of them back. */
  async putBack(client: NodeClient): Promise<void> {
    for (const [name, before] of Object.entries(await this.#read())) {
      await client.configSet(name, before);
    }
    await rm(this.#path, { force: true });
  }

  async #read(): Promise<Readonly<Record<string, string>>> {
    const text = await readFile(this.#path, 'utf8').catch(() => '{}');
    const note: unknown = JSON.parse(text);
    return typeof note === 'object' && note !== null ? (note as Record<string, string>) : {};
  }
}
