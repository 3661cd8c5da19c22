import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { TidemarkError, UsageError } from '@tidemark/core';
import { createKeyRing, openKeyRing } from '@tidemark/crypto';
import { openStore, probeStore, refusalOf, type ObjectStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import {
  loadConfig,
  newConfigText,
  rollAge,
  type StoreFlags,
  storeSettings,
  storeTable,
  Workspace,
} from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { sharesDevice } from '../files/shares-device.ts';
import { newKeys, type KeyFlags } from './init-keys.ts';

/** Options of `tidemark init`. */
export interface InitOptions extends KeyFlags, StoreFlags {
  readonly dir: string;
  /** `s3://…` or `file:///…` of a new store. */
  readonly store?: string;
  readonly adopt?: string;
  readonly keyring?: string;
}

/** Makes a configuration with a store, a state folder and a key ring, or takes a store over. */
export async function init(options: InitOptions, invocation: Invocation): Promise<void> {
  const dir = resolve(options.dir);
  const configPath = join(dir, 'tidemark.toml');
  if (existsSync(configPath)) {
    throw new UsageError('TM_EXISTS', `${configPath} exists`, {
      hint: 'remove it first, or choose another --dir',
    });
  }
  if ((options.adopt === undefined) !== (options.keyring === undefined)) {
    throw new UsageError('TM_USAGE', '--adopt and --keyring go together', {
      hint: 'tidemark init --dir DIR --adopt file:///path/to/store --keyring /path/to/ring',
    });
  }
  if (options.adopt !== undefined && options.store !== undefined) {
    throw new UsageError('TM_USAGE', '--adopt takes an existing store, --store begins a new one');
  }
  const ring = options.keyring === undefined ? join(dir, 'ring') : resolve(options.keyring);
  const keys = await newKeys(options, ring, invocation.printer);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const [clock, random] = [systemClock, systemRandom];
  if (options.keyring === undefined) await createKeyRing({ dir: ring, random, clock });
  else await openKeyRing({ dir: ring, random, clock });
  const storeUrl = options.adopt ?? options.store ?? pathToFileURL(join(dir, 'store')).href;
  const store = storeTable(storeUrl, options);
  const rollMaxAge = rollAge(storeSettings(store, dir));
  const text = newConfigText({ store, rollMaxAge, stateDir: join(dir, 'state'), keys });
  await writeFile(configPath, text, { mode: 0o600, flag: 'wx' });
  let instances: readonly string[];
  try {
    instances = await openAll(configPath, options.adopt, invocation);
  } catch (cause) {
    // So that it can be tried again. With damage in one instance the others can still be restored.
    const damage = cause instanceof TidemarkError && cause.exitCode === 14;
    if (!damage) await rm(configPath, { force: true });
    throw cause;
  }
  const short = relative(process.cwd(), configPath) || configPath;
  const { kmsKeyId: key } = keys;
  invocation.printer.result({ config: configPath, store: storeUrl, ring, key, instances }, () => [
    `configuration  ${configPath}`,
    `store          ${storeUrl}`,
    `key ring       ${ring}   (copy it to a safe place: without it nothing can be restored)`,
    ...(key === null ? [] : [`key            ${key}`]),
    ...instances.map((id) => `instance       ${id}`),
    '',
    options.adopt === undefined
      ? `next: tidemark -c ${short} instance add ID -u redis://HOST:PORT --aof-dir PATH --yes`
      : `next: tidemark -c ${short} windows ${instances[0] ?? 'ID'}`,
  ]);
}

/** Makes or opens what the configuration names. */
async function openAll(
  configPath: string,
  adopted: string | undefined,
  invocation: Invocation,
): Promise<readonly string[]> {
  const { store, stateDir, keys } = await loadConfig(configPath);
  if (adopted !== undefined && store.kind === 'file' && !existsSync(store.root)) {
    throw new UsageError('TM_STORE_URL', `there is no store at ${adopted}`);
  }
  const opened = await openStore(store, { random: systemRandom, clock: systemClock });
  if (adopted === undefined) await assertUsable(opened, invocation);
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  if (sharesDevice(keys.ringDir, store)) {
    invocation.printer.warn(
      'the key ring lies on the same device as the store: who gets one gets both, and one dead disk loses both',
    );
  }
  return adopted === undefined ? [] : adopt(configPath, invocation);
}

/** A store that is asked nothing would be found wanting by the archiver, hours later. */
async function assertUsable(store: ObjectStore, { printer, signal }: Invocation): Promise<void> {
  const capabilities = await probeStore(store, { random: systemRandom, signal });
  const refusal = refusalOf(capabilities);
  if (refusal !== null) throw refusal;
  for (const warning of capabilities.warnings) printer.warn(warning);
}

async function adopt(configPath: string, invocation: Invocation): Promise<readonly string[]> {
  using workspace = await Workspace.open({ ...invocation, configPath });
  await workspace.sync(invocation.signal);
  return workspace.catalog.instances().map(({ iid }) => iid ?? '');
}
