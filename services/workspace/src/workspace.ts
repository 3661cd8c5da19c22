import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  hasInstance,
  instanceKeysOf,
  listInstanceIds,
  openCatalog,
  openInstanceLog,
  readTde,
  type Catalog,
} from '@tidemark/catalog';
import { StoreError, TidemarkError } from '@tidemark/core';
import { isSameKey, openKeys, type KeyProviders, type WrappingKey } from '@tidemark/crypto';
import { openStore, type ObjectStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { callArchiver, controlSocketPath } from '@tidemark/archiver';
import { loadConfig, type Config } from './config/load.ts';

/** How a workspace is opened. */
interface WorkspaceOptions {
  readonly configPath: string;
  /** Puts something before store and keys that counts what is asked of them. */
  readonly through?: (
    store: ObjectStore,
    keys: KeyProviders,
  ) => { readonly store: ObjectStore; readonly keys: KeyProviders };
}

/** Configuration, store, keys and catalog of one host, opened for a command or a service. */
export class Workspace implements Disposable {
  #config: Config;
  /** Of the configuration file when it was last read; '' = not known. */
  #stamp: string;
  readonly store: ObjectStore;
  readonly keys: KeyProviders;
  readonly catalog: Catalog;

  private constructor(
    read: { readonly config: Config; readonly stamp: string },
    parts: Pick<Workspace, 'store' | 'keys' | 'catalog'>,
  ) {
    this.#config = read.config;
    this.#stamp = read.stamp;
    this.store = parts.store;
    this.keys = parts.keys;
    this.catalog = parts.catalog;
  }

  /** The configuration: its instances as they were at the last `reload`, the rest as it was opened. */
  get config(): Config {
    return this.#config;
  }

  /**
   * Reads the instances of the configuration again when its file was changed; all of them change at
   * one instant. Other settings wait for a restart.
   * @param always - Also when the file seems to be the same.
   * @returns Whether it was read.
   * @throws UsageError `TM_CONFIG` for a file that is wrong: what was read before stays.
   */
  async reload(always = false): Promise<boolean> {
    const { path } = this.#config;
    const stamp = await stampOf(path);
    if (stamp === this.#stamp && !always) return false;
    const { instances } = await loadConfig(path);
    this.#config = { ...this.#config, instances };
    this.#stamp = stamp;
    return true;
  }

  /** Opens everything. The keys come first: without them nothing else means anything. */
  static async open({ configPath, through }: WorkspaceOptions): Promise<Workspace> {
    // Before it is read: a change meanwhile is seen by the next look.
    const stamp = await stampOf(configPath);
    const config = await loadConfig(configPath);
    const [clock, random] = [systemClock, systemRandom];
    const adopt = async (iid: string, key: WrappingKey): Promise<void> => {
      const log = await openInstanceLog({
        ...{ store, iid, clock, random },
        logKey: await keys.logKey(iid),
      });
      await log.append(({ keys: known }) =>
        known.some((each) => isSameKey(each, key))
          ? null
          : { type: 'KeyAdopted', ...key, atMs: clock.nowMs() },
      );
    };
    const keys = await openKeys(config.keys, { random, clock, adopt });
    const store = await openStore(config.store, { random, clock });
    // All of it may be lost: what is in the store is enough.
    await mkdir(config.stateDir, { recursive: true, mode: 0o700 });
    const catalog = openCatalog({ path: join(config.stateDir, 'catalog.db') });
    const used = through?.(store, keys) ?? { store, keys };
    return new Workspace({ config, stamp }, { ...used, catalog });
  }

  /**
   * Brings the catalog up to what the store holds.
   * @param only - One instance: damage of another one must not stand in its way.
   * @param everyEntry - Read also the entries that a checkpoint stands for.
   */
  async sync(signal: AbortSignal, only: string | null = null, everyEntry = false): Promise<number> {
    // A file that is wrong just now is for whoever watches it to tell of.
    await this.reload().catch(() => false);
    const instances = await this.#stored(signal, only);
    this.#requireKnown(instances, only);
    const { entries } = await this.catalog.sync({
      store: this.store,
      instances,
      logKey: (iid) => this.keys.logKey(iid),
      everyEntry,
      signal,
    });
    await this.#allowKeys(signal, only);
    return entries;
  }

  /** A store that is not mounted looks like an empty one: what is known must be in it. */
  #requireKnown(stored: readonly string[], only: string | null): void {
    for (const { iid } of this.catalog.instances()) {
      if (iid === null || (only !== null && iid !== only) || stored.includes(iid)) continue;
      throw new StoreError('TM_STORE_IO', `the store does not hold ${iid}, which it held`, {
        context: { store: this.store.url, instance: iid },
        hint: 'is it mounted, and the one that store.url means? If it was emptied on purpose: tidemark repo rebuild-catalog',
      });
    }
  }

  /** Who asks for one instance asks for nothing of the others. */
  async #stored(signal: AbortSignal, only: string | null): Promise<readonly string[]> {
    if (only === null) return listInstanceIds(this.store, signal);
    return (await hasInstance(this.store, only)) ? [only] : [];
  }

  /**
   * Which keys wrap the data keys of each instance, as its log says: an object in the store never
   * chooses the key that it is opened with.
   */
  async #allowKeys(signal: AbortSignal, only: string | null): Promise<void> {
    const { catalog, keys, store, config } = this;
    for (const state of catalog.instances()) {
      const { iid } = state;
      if (iid === null || (only !== null && iid !== only)) continue;
      const logKey = await keys.logKey(iid);
      const source = { state, store, logKey, stateDir: config.stateDir, signal };
      keys.directory.set(iid, instanceKeysOf(state, await readTde(iid, source)));
    }
  }

  /**
   * Asks the running archiver.
   * @returns Its answer; null when none is running.
   */
  async askArchiver(
    method: 'status' | 'roll' | 'attach' | 'reattach' | 'detach' | 'backup' | 'rekey' | 'policy',
    instance: string | null,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<unknown> {
    try {
      const socketPath = controlSocketPath(this.config.stateDir);
      return await callArchiver({ socketPath, ...options }, method, instance);
    } catch (cause) {
      if (cause instanceof TidemarkError && cause.code === 'TM_ARCHIVER_DOWN') return null;
      throw cause;
    }
  }

  [Symbol.dispose](): void {
    this.catalog.close();
  }
}

/** Tells one content of a file from another without reading it. */
async function stampOf(path: string): Promise<string> {
  const facts = await stat(path, { bigint: true }).catch(() => null);
  if (facts === null) return '';
  return [facts.dev, facts.ino, facts.size, facts.mtimeNs, facts.ctimeNs].join('.');
}

/** Asks for what is not yet shipped and reads the log: afterwards the catalog is up to now. */
export async function freshen(
  workspace: Workspace,
  instance: string,
  signal: AbortSignal,
): Promise<{ readonly archiver: boolean }> {
  let archiver: boolean;
  try {
    const answer = await workspace.askArchiver('roll', instance, { timeoutMs: 15_000, signal });
    archiver = answer !== null;
  } catch (cause) {
    // It does not capture this instance, or cannot ship now: what is stored can still be used.
    if (!(cause instanceof TidemarkError) || signal.aborted) throw cause;
    archiver = false;
  }
  await workspace.sync(signal, instance);
  return { archiver };
}
