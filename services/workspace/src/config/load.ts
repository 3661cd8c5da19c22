import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parse } from 'smol-toml';
import { Compile } from 'typebox/schema';
import type { CaptureLimits, InstanceTarget } from '@tidemark/archiver';
import type { TlsHooks } from '@tidemark/client';
import { UsageError } from '@tidemark/core';
import type { KeySettings } from '@tidemark/crypto';
import type { StoreSettings } from '@tidemark/store';
import { keySettings } from './keys.ts';
import { entryAddress, locatorOpener } from './node-place.ts';
import { securedAddress, tlsSettings } from './node-tls.ts';
import { ConfigSchema, type ConfigFile, type InstanceEntry } from './schema.ts';
import { policySettings, type PolicySettings } from './policy.ts';
import { readSecret, secretSource } from './secret.ts';
import {
  apiSettings,
  cloneSettings,
  eventSettings,
  listenAddress,
  workerSettings,
  type ApiSettings,
  type CloneSettings,
  type EventSettings,
  type ListenAddress,
  type WorkerSettings,
} from './services.ts';
import { storeSettings } from './store.ts';
import { parseDuration, parseSize } from './units.ts';

const GRACE_MS_MIN = 3_600_000;

const validator = Compile(ConfigSchema);

/** The configuration with defaults filled in and paths made absolute. */
export interface Config {
  readonly path: string;
  readonly store: StoreSettings;
  readonly stateDir: string;
  /** Files that requests name, and that are written here: passwords. */
  readonly secretsDir: string;
  readonly spoolBytesMax: number;
  readonly keys: KeySettings;
  readonly limits: CaptureLimits;
  /** How long history, and what an undo needs, is kept, in milliseconds. */
  readonly retainMs: number;
  /** Backup policy of instances that have none of their own. */
  readonly policy: PolicySettings;
  /** How long what retention has marked stays in the store, in milliseconds. */
  readonly graceMs: number;
  /** How long a released instance stays in the recycle bin, in milliseconds. */
  readonly recycleRetainMs: number;
  /** Whether the archiver deletes what the policy keeps no longer; only where the owner says so. */
  readonly expires: boolean;
  /** Servers that may be taken under protection by request, as `[restorer] allow_targets` names them. */
  readonly allowSources: readonly string[];
  /** Where the archiver shows its metrics; null: nowhere. */
  readonly archiverMetrics: ListenAddress | null;
  /** Whether archivers share the PSYNC instances out among themselves, over `[events]`. */
  readonly fleet: boolean;
  readonly api: ApiSettings;
  readonly worker: WorkerSettings;
  readonly clone: CloneSettings;
  /** Null: no Kafka. */
  readonly events: EventSettings | null;
  readonly instances: readonly InstanceEntry[];
}

/**
 * Reads tidemark.toml.
 * @throws UsageError `TM_CONFIG` that names the setting.
 */
export async function loadConfig(path: string): Promise<Config> {
  const file = parseConfig(await readText(path), path);
  const base = dirname(resolve(path));
  const archiver = file.archiver ?? {};
  const store = storeSettings(file.store, base);
  const stateDir = resolve(base, file.state.dir);
  const events = eventSettings(file.events, base);
  if (archiver.fleet === true && events === null) {
    throw new UsageError('TM_CONFIG', 'archiver.fleet needs [events] with the brokers');
  }
  const metrics = archiver.metrics_listen;
  return {
    path: resolve(path),
    store,
    stateDir,
    secretsDir: resolve(base, file.state.secrets_dir ?? 'secrets'),
    // 20 GiB: a day of 250 KiB/s while the store is down.
    spoolBytesMax: parseSize(file.state.spool_max ?? '20GiB', 'state.spool_max'),
    keys: keySettings(file.keys, base),
    limits: {
      rollMaxAgeMs: parseDuration(archiver.roll_max_age ?? rollAge(store), 'archiver.roll_max_age'),
      rollMaxBytes: parseSize(archiver.roll_max_bytes ?? '8MiB', 'archiver.roll_max_bytes'),
      heartbeatMs: parseDuration(archiver.heartbeat ?? '20s', 'archiver.heartbeat'),
      pinBytesMax: parseSize(archiver.pin_max ?? '20GiB', 'archiver.pin_max'),
      pinAgeMaxMs: parseDuration(archiver.pin_max_age ?? '24h', 'archiver.pin_max_age'),
      requestRewrites: archiver.request_rewrites ?? true,
    },
    retainMs: parseDuration(file.policy?.retain ?? '7d', 'policy.retain'),
    policy: policySettings(file.policy),
    graceMs: graceOf(file.policy?.grace ?? '24h'),
    recycleRetainMs: parseDuration(file.policy?.recycle_retain ?? '38d', 'policy.recycle_retain'),
    expires: archiver.expire ?? false,
    allowSources: file.server?.allow_sources ?? [],
    archiverMetrics:
      metrics === undefined ? null : listenAddress(metrics, 'archiver.metrics_listen'),
    fleet: archiver.fleet ?? false,
    api: apiSettings(file, base),
    worker: workerSettings(file.restorer),
    clone: cloneSettings(file.clone, base, stateDir),
    events,
    instances: file.instance ?? [],
  };
}

/** A mark that was a mistake must leave somebody the time to take it back. */
function graceOf(text: string): number {
  const graceMs = parseDuration(text, 'policy.grace');
  if (graceMs >= GRACE_MS_MIN) return graceMs;
  throw new UsageError('TM_CONFIG', `policy.grace: ${text} is less than an hour`, {
    hint: 'until then a mark can be taken back with: tidemark expire ID --revoke',
  });
}

/** Every object costs a request: those of S3 are counted and paid for. */
export function rollAge(store: StoreSettings): string {
  return store.kind === 's3' ? '5s' : '1s';
}

/** Checks the text of a configuration file. */
export function parseConfig(text: string, path: string): ConfigFile {
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    const message = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : '';
    throw new UsageError('TM_CONFIG', `${path} is not TOML: ${message}`, { cause });
  }
  if (validator.Check(value)) return checkInstances(value, path);
  const [first] = validator.Errors(value)[1];
  const where = first?.instancePath.replace(/^\//, '').replaceAll('/', '.') ?? '';
  const name = where === '' ? '' : `${where} `;
  throw new UsageError('TM_CONFIG', `${path}: ${name}${faultOf(first)}`, {
    hint: 'see the example in README.md',
  });
}

function faultOf(
  fault:
    { readonly keyword: string; readonly message: string; readonly params: object } | undefined,
): string {
  if (fault === undefined) return 'is wrong';
  if (fault.keyword === 'boolean') return 'is not a setting that is known';
  if ('allowedValue' in fault.params) return `must be ${JSON.stringify(fault.params.allowedValue)}`;
  if ('allowedValues' in fault.params) {
    const allowed = fault.params.allowedValues as readonly unknown[];
    return `must be ${allowed.map((value) => JSON.stringify(value)).join(' or ')}`;
  }
  if ('requiredProperties' in fault.params)
    return `lacks ${String(fault.params.requiredProperties)}`;
  return fault.message;
}

/**
 * The node of a configured instance, with passwords read from their files. Behind Sentinels its
 * `locator` tells where it is; `locateNode` asks that where there is one.
 */
export async function instanceTarget(
  entry: InstanceEntry,
  configPath: string,
  hooks: TlsHooks = {},
): Promise<InstanceTarget> {
  const base = dirname(resolve(configPath));
  const passwordOf = async (source: string | undefined): Promise<string | undefined> =>
    source === undefined ? undefined : readSecret(secretSource(source, base));
  const password = await passwordOf(entry.password_file);
  const sentinelPassword = await passwordOf(entry.sentinel_password_file);
  // Last, for it looks after its files until it is disposed of.
  const secured = await securedAddress(entryAddress(entry.url), tlsSettings(entry, base), hooks);
  const address = {
    ...secured,
    ...(entry.user === undefined ? {} : { username: entry.user }),
    ...(password === undefined ? {} : { password }),
  };
  let locator: InstanceTarget['locator'];
  try {
    locator = locatorOpener(entry, address, sentinelPassword);
  } catch (error) {
    secured.tls?.[Symbol.dispose]();
    throw error;
  }
  return {
    id: entry.id,
    ...(entry.aof_dir === undefined
      ? {}
      : { aofDir: resolve(base, entry.aof_dir), hold: entry.hold ?? false }),
    address,
    ...(locator === undefined ? {} : { locator }),
  };
}

function checkInstances(config: ConfigFile, path: string): ConfigFile {
  for (const { id, url, source = 'aof', aof_dir, hold } of config.instance ?? []) {
    if (source === 'aof' && aof_dir === undefined) {
      throw new UsageError('TM_CONFIG', `${path}: instance ${id} lacks aof_dir`, {
        hint: 'the folder of its append-only files, or source = "psync" for a capture by replication',
      });
    }
    if (source === 'psync' && (aof_dir !== undefined || hold === true)) {
      const name = aof_dir === undefined ? 'hold' : 'aof_dir';
      throw new UsageError('TM_CONFIG', `${path}: ${name} of instance ${id} needs source = "aof"`);
    }
    checkUrl(url, `${path}: url of instance ${id}`);
  }
  const ids = (config.instance ?? []).map(({ id }) => id);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice === undefined) return config;
  throw new UsageError('TM_CONFIG', `${path}: instance ${twice} is configured twice`);
}

/** Here already: a password that somebody wrote into it must reach no output. */
function checkUrl(url: string, name: string): void {
  try {
    entryAddress(url);
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause;
    const { message, hint } = cause;
    throw new UsageError('TM_CONFIG', `${name}: ${message}`, hint === undefined ? {} : { hint });
  }
}

const HINTS: Readonly<Record<string, string>> = {
  ENOENT:
    'make a configuration with: tidemark init --dir DIR, and name it with -c DIR/tidemark.toml',
  EACCES: 'run it as the user who owns the file, for example the one of the archiver',
  EISDIR: 'name the file in it: -c DIR/tidemark.toml',
};

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    const why = code === '' || code === 'ENOENT' ? '' : ` (${code})`;
    throw new UsageError('TM_CONFIG', `cannot read ${path}${why}`, {
      cause,
      hint: HINTS[code] ?? HINTS['ENOENT'] ?? '',
    });
  }
}
