import { join } from 'node:path';
import {
  listInstanceIds,
  openCatalog,
  openInstanceLog,
  type Catalog,
  type InstanceLog,
} from '@tidemark/catalog';
import { createKeyRing, type KeyProvider, type KeyRing } from '@tidemark/crypto';
import {
  dryRun,
  verifyBackups,
  verifyRepo,
  type RepoVerification,
  type RestoreEnvironment,
  type RestoreReport,
  type VerifyBackupRequest,
  type WantedPoint,
} from '@tidemark/restorer';
import { systemClock } from '@tidemark/system';
import { seededRandom, standingClock } from '../crypto-ports.ts';
import { MemoryStore } from '../memory-store.ts';
import { buildTinyArchive, TINY_INSTANCE, type TinyArchive } from './tiny-archive.ts';
import { restoreRequest } from '../restore-request.ts';

const START_MS = 1_795_000_000_000;
const NEVER = new AbortController().signal;

/** A small archive in memory, to be damaged and looked at in one process. */
export class DamageBench {
  readonly store: MemoryStore;
  readonly archive: TinyArchive;
  readonly keys: KeyProvider & KeyRing;
  /** Opens what is verified and restored; the ring unless a test takes another. */
  provider: KeyProvider;
  readonly dir: string;

  private constructor(
    store: MemoryStore,
    archive: TinyArchive,
    keys: KeyProvider & KeyRing,
    dir: string,
  ) {
    this.store = store;
    this.archive = archive;
    this.keys = keys;
    this.provider = keys;
    this.dir = dir;
  }

  /**
   * Builds the archive; the same seed gives the same bytes.
   * @param dir - Folder for the key ring; it must not hold one.
   * @param options - `heartbeats`: entries at the end of the log; 1,024 entries make a checkpoint.
   */
  static async build(
    seed: string,
    dir: string,
    options: { readonly heartbeats?: number } = {},
  ): Promise<DamageBench> {
    const random = seededRandom(seed);
    const clock = standingClock(START_MS);
    const keys = await createKeyRing({ dir: join(dir, 'ring'), random, clock });
    const store = new MemoryStore();
    const archive = await buildTinyArchive({ store, keys, clock, random }, options);
    return new DamageBench(store, archive, keys, dir);
  }

  /** `repo verify` of the store as it is now. */
  repo(): Promise<RepoVerification> {
    const { store } = this;
    return verifyRepo({ store, keys: this.provider, signal: NEVER, onProgress: () => undefined });
  }

  /** `backup verify` of the store as it is now. */
  verify(request: Partial<VerifyBackupRequest> = {}): Promise<RepoVerification> {
    return verifyBackups(
      { instance: TINY_INSTANCE, backup: null, sample: null, ...request },
      { store: this.store, keys: this.provider, signal: NEVER, onProgress: () => undefined },
    );
  }

  /** Its instance log, read to the end. */
  async instanceLog(): Promise<InstanceLog> {
    const logKey = await this.keys.logKey(TINY_INSTANCE);
    const ports = { clock: systemClock, random: seededRandom(`log ${this.store.calls.length}`) };
    return openInstanceLog({ ...ports, store: this.store, iid: TINY_INSTANCE, logKey });
  }

  /** A catalog that is built from the store as it is now. The caller closes it. */
  async freshCatalog(): Promise<Catalog> {
    const catalog = openCatalog({ path: ':memory:' });
    try {
      await this.sync(catalog);
      return catalog;
    } catch (error) {
      catalog.close();
      throw error;
    }
  }

  /** Brings a catalog up to the store as it is now. */
  async sync(catalog: Catalog): Promise<void> {
    const instances = await listInstanceIds(this.store, NEVER);
    const logKey = (iid: string): ReturnType<KeyProvider['logKey']> => this.keys.logKey(iid);
    await catalog.sync({ store: this.store, instances, logKey, signal: NEVER });
  }

  /**
   * A dry run of the newest second with every byte verified.
   * @param catalog - Default: a fresh one.
   */
  async dryRun(catalog?: Catalog): Promise<RestoreReport> {
    if (catalog !== undefined) return dryRun(this.#request(), this.#environment(catalog));
    using fresh = await this.freshCatalog();
    return await dryRun(this.#request(), this.#environment(fresh));
  }

  /** A dry run of a point with every byte verified, by a fresh catalog. */
  async dryRunOf(point: WantedPoint): Promise<RestoreReport> {
    using fresh = await this.freshCatalog();
    return await dryRun({ ...this.#request(), point }, this.#environment(fresh));
  }

  #request(): Parameters<typeof dryRun>[0] {
    return restoreRequest(0, {
      instance: TINY_INSTANCE,
      point: { kind: 'second', second: this.archive.newest },
      target: { kind: 'new', port: 0, dir: null },
      ...{ verify: 'full', allowFlush: false },
    });
  }

  #environment(catalog: Catalog): RestoreEnvironment {
    return {
      store: this.store,
      keys: this.provider,
      catalog,
      clock: systemClock,
      random: seededRandom('restore'),
      stateDir: this.dir,
      original: null,
      signal: NEVER,
      onProgress: () => undefined,
    };
  }
}
