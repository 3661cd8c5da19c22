import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { instanceLogKey, tdeMarkerKey } from '@tidemark/archive';
import {
  createInstance,
  enableTde,
  instanceKeysOf,
  latchFilePath,
  openCatalog,
  openInstanceLog,
  readTde,
  type Catalog,
  type InstanceLog,
  type LatchPorts,
  type SnapshotStored,
  type Tde,
} from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import { downloadBackup, shredKeys } from '@tidemark/restorer';
import { writeFile } from 'node:fs/promises';
import { fileBytes } from '../../../services/archiver/src/ship/file-bytes.ts';
import { shipSnapshot } from '../../../services/archiver/src/ship/snapshot-shipper.ts';
import { TdeDesk } from '../../../services/archiver/src/tde/tde-desk.ts';
import { seededRandom } from '../crypto-ports.ts';
import { LOG, LOG_KEY, opened, START_MS } from '../log-events.ts';
import type { MemoryStore } from '../memory-store.ts';
import { RdbBuilder } from '../rdb-builder.ts';
import { openShipRun, rollSegment } from '../ship-harness.ts';
import { TestKeyService } from './key-service.ts';
import { patientClock } from './patient-clock.ts';

/** Stands in every dataset of the world, long and not to be compressed away. */
export const CANARY = 'canary-5d0c1e77-of-clear-data';

const { iid } = LOG;
/** Entries that no rollback takes away: the instance and its writer. */
const FIRST_ENTRIES = 2;

/** A process that was killed: no call of it takes effect any more. */
class Killed extends Error {}

/** What one step led to. */
export interface StepEnd {
  /** Code of the refusal or fault; `killed`, or null when it went through. */
  readonly end: string | null;
  /** A file with clear data came out of it. */
  readonly plain: boolean;
}

/**
 * One instance with its store, state folder, keys and catalog, and processes that work on them for a
 * while: the archiver's own shipping and TDE desk, the downloads and shreddings of the restorer.
 */
export class TdeWorld {
  readonly store: MemoryStore;
  readonly keys = new TestKeyService();
  readonly #dir: string;
  #count = 0;

  constructor(dir: string, store: MemoryStore) {
    this.#dir = dir;
    this.store = store;
    for (const key of ['one', 'two']) this.keys.usable.add(key);
  }

  /** Puts the instance on record, with a timeline to take backups of. */
  async begin(): Promise<void> {
    const ports = this.#ports(this.store);
    const log = await createInstance({ ...ports, iid, name: 'vault', createdMs: START_MS });
    const { shard, writer } = LOG;
    await log.append(() => ({
      type: 'WriterRegistered',
      ...{ shard, writer, source: 'aof', atMs: START_MS },
    }));
    const run = await openShipRun(this.#dir, this.store, { keys: this.keys });
    await run.log.append(opened({ timeline: 't1', previous: null, reason: 'attach' }));
    await writeFile(
      join(this.#dir, 'base.rdb'),
      new RdbBuilder({ version: 10 }).selectDb(0).string('key', CANARY).build(),
    );
  }

  /** What the three places say, with the log as it lies in the store. */
  async tde(): Promise<Tde> {
    const ports = this.#ports(this.store);
    return readTde(iid, { ...ports, state: (await this.#log(this.store)).state });
  }

  async enable(key: string | null, killAt: number): Promise<StepEnd> {
    return this.#process(killAt, async (store) => {
      const log = await this.#log(store);
      const ports = { ...this.#ports(store), keys: this.keys };
      await enableTde(log, { iid, key, admin: this.keys }, ports);
    });
  }

  /** An archiver that runs for a while: it ships a segment and a backup, and finishes what is open. */
  async archive(killAt: number): Promise<StepEnd> {
    return this.#process(killAt, async (store) => {
      const log = await this.#log(store);
      const ports = this.#ports(store);
      const run = await openShipRun(this.#dir, store, { keys: this.keys });
      await run.recover();
      const { dataKeys } = run.options;
      const quiet = (): void => undefined;
      const logger = { info: quiet, warn: quiet, error: quiet, child: () => logger };
      const desk = new TdeDesk({ instance: iid, log, ports, keys: this.keys, dataKeys, logger });
      const backup = async (): Promise<SnapshotStored> => {
        const job = { backup: `bk-${(this.#count += 1).toString()}`, timeline: 't1', offset: 0n };
        const path = join(this.#dir, 'base.rdb');
        const from = (): Promise<number> => Promise.resolve(START_MS / 1000);
        return shipSnapshot(
          { ...job, open: fileBytes(path), mode: 'manual', from },
          run.options,
          run.backlog,
        );
      };
      await desk.renew();
      const over = new AbortController();
      const running = desk.run({ backup }, over.signal);
      try {
        await desk.rekey();
        const end = run.log.state.timeline?.end ?? 0n;
        await run.ship(rollSegment(end, ['SET', 'key', CANARY]), null);
        await backup();
      } finally {
        over.abort(new Error('the archiver ends'));
        await running;
        dataKeys.close();
      }
    });
  }

  /** Downloads the newest backup that the catalog knows. */
  async download(killAt: number): Promise<StepEnd> {
    const path = join(this.#dir, `download-${(this.#count += 1).toString()}`);
    return this.#process(
      killAt,
      async (store) => {
        using catalog = await this.#catalog(store);
        const last = catalog.snapshots(iid).at(-1);
        if (last === undefined) return;
        const request = { instance: iid, backup: last.backup, sealed: false };
        const { random, stateDir } = this.#ports(store);
        await downloadBackup(
          { ...request, to: { kind: 'file', path } },
          {
            ...{ store, keys: this.keys, catalog, stateDir: stateDir ?? '', random },
            ...{ signal: new AbortController().signal, onProgress: () => undefined },
          },
        );
      },
      path,
    );
  }

  /** As `tde rewrap --kms-key`: new data keys are wrapped with another key from here on. */
  async changeKey(key: string, killAt: number): Promise<StepEnd> {
    return this.#process(killAt, async (store) => {
      const log = await this.#log(store);
      await log.append((state) =>
        state.tde?.latchedMs == null || state.tde.keyId === key
          ? null
          : {
              type: 'TdeKeyChanged',
              ...{ provider: 'ring', keyId: key, auto: false, atMs: START_MS },
            },
      );
    });
  }

  async shred(killAt: number): Promise<StepEnd> {
    return this.#process(killAt, async (store) => {
      const log = await this.#log(store);
      const clock = patientClock(START_MS);
      const { signal } = new AbortController();
      const onProgress = (): void => undefined;
      await shredKeys({ instance: iid, dekIds: null, store, log, clock, signal, onProgress });
    });
  }

  async allowOriginal(allowed: boolean): Promise<StepEnd> {
    return this.#process(Infinity, async (store) => {
      const log = await this.#log(store);
      await log.append(() => ({ type: 'OriginalRestoreSet', allowed, atMs: START_MS }));
    });
  }

  /** The key service forgets a key, or has it again: a configuration of another time. */
  toggleKey(key: string): void {
    if (!this.keys.usable.delete(key)) this.keys.usable.add(key);
  }

  async loseCatalog(): Promise<void> {
    for (const end of ['', '-wal', '-shm']) await rm(this.#db + end, { force: true });
  }

  /** Keeps the catalog as it is now, to come back later. */
  async keepCatalog(): Promise<void> {
    if (existsSync(this.#db)) await copyFile(this.#db, `${this.#db}.kept`);
  }

  async oldCatalog(): Promise<void> {
    if (!existsSync(`${this.#db}.kept`)) return;
    await this.loseCatalog();
    await copyFile(`${this.#db}.kept`, this.#db);
  }

  /** Sets the log of the instance back by some entries, unless nobody else says that TDE is on. */
  async rollBack(entries: number): Promise<void> {
    const { seq } = (await this.#log(this.store)).state;
    const { log, marker, archiver } = (await this.tde()).witnesses;
    if (log === 'on' && marker === 'off' && archiver === 'off') return;
    for (let at = seq; at > seq - entries && at >= FIRST_ENTRIES; at--) {
      this.store.tamper(instanceLogKey(iid, at), null);
    }
  }

  /** The marker goes, or is damaged; it stays where nobody else says that TDE is on. */
  async harmMarker(how: 'delete' | 'damage'): Promise<void> {
    const { log, archiver } = (await this.tde()).witnesses;
    const bytes = this.store.objects.get(tdeMarkerKey(iid));
    if (bytes === undefined || (how === 'delete' && log === 'off' && archiver === 'off')) return;
    this.store.tamper(tdeMarkerKey(iid), how === 'delete' ? null : bytes.subarray(0, 50));
  }

  /** The archiver moves to another host, unless nobody else says that TDE is on. */
  async loseStateFolder(): Promise<void> {
    const { log, marker } = (await this.tde()).witnesses;
    if (log === 'off' && marker === 'off') return;
    await rm(latchFilePath(this.#state, iid), { force: true });
  }

  /** Object keys whose content holds clear data. */
  plainObjects(): readonly string[] {
    return [...this.store.objects].flatMap(([key, bytes]) => (bytes.includes(CANARY) ? [key] : []));
  }

  get #db(): string {
    return join(this.#dir, 'catalog.db');
  }

  get #state(): string {
    return join(this.#dir, 'state');
  }

  #ports(store: MemoryStore): LatchPorts {
    this.#count += 1;
    const random = seededRandom(`world ${this.#count.toString()}`);
    const clock = patientClock(START_MS);
    return { store, logKey: LOG_KEY, stateDir: this.#state, clock, random };
  }

  #log(store: MemoryStore): Promise<InstanceLog> {
    return openInstanceLog({ ...this.#ports(store), iid });
  }

  /** The catalog of a command: brought up to date, with the keys that the log allows. */
  async #catalog(store: MemoryStore): Promise<Catalog> {
    const catalog = openCatalog({ path: this.#db });
    try {
      await catalog.sync({ store, instances: [iid], logKey: () => Promise.resolve(LOG_KEY) });
      const state = catalog.instance(iid);
      const tde = await readTde(iid, { ...this.#ports(store), state });
      this.keys.directory.set(iid, instanceKeysOf(state, tde));
      return catalog;
    } catch (cause) {
      catalog.close();
      throw cause;
    }
  }

  /** Runs a process that is killed at its n-th call of the store. */
  async #process(
    killAt: number,
    work: (store: MemoryStore) => Promise<void>,
    output?: string,
  ): Promise<StepEnd> {
    await mkdir(this.#state, { recursive: true });
    this.keys.restart();
    const throwKilled = (): never => {
      throw new Killed('killed');
    };
    const store = this.store.through(({ index }) => {
      if (index < killAt) return undefined;
      // Half of the killed calls took effect in the store all the same.
      return index === killAt && killAt % 2 === 0
        ? { after: throwKilled }
        : { before: throwKilled };
    });
    const end = await work(store).then(
      () => null,
      (cause: unknown) => {
        if (cause instanceof Killed) return 'killed';
        if (cause instanceof TidemarkError) return cause.code;
        throw cause;
      },
    );
    const file = output !== undefined && existsSync(output) ? await readFile(output) : null;
    return { end, plain: file?.includes(CANARY) ?? false };
  }
}
