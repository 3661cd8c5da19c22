import { resolve } from 'node:path';
import { UsageError } from '@tidemark/core';
import type { ConfigFile } from './schema.ts';
import { secretSource } from './secret.ts';
import { parseDuration } from './units.ts';

/** An address to listen on. */
export interface ListenAddress {
  readonly host: string;
  /** 0: one that is free. */
  readonly port: number;
}

/** Certificates of a server, as files; read again when they change. */
export interface ServerTlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Who may connect must show a certificate of it; null: none is asked for. */
  readonly clientCaFile: string | null;
}

/** `[server]` and `[auth]`: the HTTP API. */
export interface ApiSettings {
  readonly listen: ListenAddress;
  /** How others reach it, for links; null: as they asked. */
  readonly publicUrl: string | null;
  readonly tls: ServerTlsFiles | null;
  /** Addresses of proxies whose X-Forwarded-For counts. */
  readonly trustedProxies: readonly string[];
  readonly auth: 'token' | 'mtls' | 'none';
  /** Absolute path; null with `none`. */
  readonly tokensFile: string | null;
}

/** `[restorer]`: who works off jobs. */
export interface WorkerSettings {
  /** Jobs at one time. */
  readonly workers: number;
  /** Servers that may be written into: `HOST:PORT`, `HOST:FROM-TO`, `CIDR:PORT`, `CIDR:FROM-TO`. */
  readonly allowTargets: readonly string[];
  /** For which of them a file of the folder of secrets is; the rules are written alike. */
  readonly targetSecrets: Readonly<Record<string, readonly string[]>>;
  readonly metricsListen: ListenAddress | null;
}

/** `[clone]`: where new servers come from. */
export interface CloneSettings {
  /** Folder of servers that are started here. */
  readonly dir: string;
  /** Address that they listen on. */
  readonly host: string;
  readonly ports: { readonly from: number; readonly to: number };
  /** A program that makes a server and prints its address; null: none. */
  readonly hook: string | null;
  readonly hookTimeoutMs: number;
}

/** `[events]`: a Kafka cluster. */
export interface EventSettings {
  readonly brokers: readonly string[];
  readonly topicPrefix: string;
  readonly tls: { readonly caFile: string | null } | null;
  readonly sasl: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    /** For `readSecret`. */
    readonly password: string;
  } | null;
}

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/;
const WORKERS_MAX = 32;

/** @throws UsageError `TM_CONFIG` that names the setting. */
export function apiSettings(
  { server = {}, auth = {} }: Pick<ConfigFile, 'server' | 'auth'>,
  base: string,
): ApiSettings {
  const listen = listenAddress(server.listen ?? '127.0.0.1:8080', 'server.listen');
  const mode = auth.mode ?? 'token';
  const tls = serverTls(server, base);
  refuseOpen(mode, listen);
  if (mode === 'mtls' && tls?.clientCaFile == null) {
    throw new UsageError('TM_CONFIG', 'auth.mode = "mtls" needs server.tls_client_ca_file');
  }
  const tokensFile = mode === 'none' ? null : resolve(base, auth.tokens_file ?? 'tokens');
  return {
    listen,
    publicUrl: server.public_url ?? null,
    tls,
    trustedProxies: server.trusted_proxies ?? [],
    auth: mode,
    tokensFile,
  };
}

/**
 * The same settings with another address to listen on.
 * @param text - `HOST:PORT`; null = as configured.
 * @throws UsageError `TM_CONFIG`.
 */
export function listenAt(settings: ApiSettings, text: string | null): ApiSettings {
  if (text === null) return settings;
  const listen = listenAddress(text, '--listen');
  refuseOpen(settings.auth, listen);
  return { ...settings, listen };
}

function refuseOpen(mode: ApiSettings['auth'], listen: ListenAddress): void {
  if (mode !== 'none' || LOOPBACK.test(listen.host)) return;
  throw new UsageError('TM_CONFIG', 'auth.mode = "none" needs server.listen on the loopback', {
    hint: 'make a token with: tidemark token create NAME --scope read, and set auth.mode = "token"',
  });
}

function serverTls(server: NonNullable<ConfigFile['server']>, base: string): ServerTlsFiles | null {
  const { tls_cert_file: cert, tls_key_file: key, tls_client_ca_file: ca } = server;
  if (cert === undefined && key === undefined && ca === undefined) return null;
  if (cert === undefined || key === undefined) {
    throw new UsageError(
      'TM_CONFIG',
      'server.tls_cert_file and server.tls_key_file belong together',
    );
  }
  return {
    certFile: resolve(base, cert),
    keyFile: resolve(base, key),
    clientCaFile: ca === undefined ? null : resolve(base, ca),
  };
}

/** @throws UsageError `TM_CONFIG` that names the setting. */
export function workerSettings(restorer: ConfigFile['restorer'] = {}): WorkerSettings {
  const { workers = 2, allow_targets: allowTargets = [], metrics_listen: metrics } = restorer;
  const { target_secrets: targetSecrets = {} } = restorer;
  if (workers < 1 || workers > WORKERS_MAX) {
    throw new UsageError('TM_CONFIG', `restorer.workers is not 1 to ${WORKERS_MAX.toString()}`);
  }
  return {
    workers,
    allowTargets,
    targetSecrets,
    metricsListen: metrics === undefined ? null : listenAddress(metrics, 'restorer.metrics_listen'),
  };
}

/** @throws UsageError `TM_CONFIG` that names the setting. */
export function cloneSettings(
  clone: ConfigFile['clone'] = {},
  base: string,
  stateDir: string,
): CloneSettings {
  const [, from, to] = /^(\d{1,5})-(\d{1,5})$/.exec(clone.ports ?? '6400-6499') ?? [];
  const ports = { from: Number(from), to: Number(to) };
  if (!(ports.from >= 1 && ports.from <= ports.to && ports.to <= 65_535)) {
    throw new UsageError('TM_CONFIG', 'clone.ports is not a range such as 6400-6499');
  }
  return {
    dir: clone.dir === undefined ? resolve(stateDir, 'clones') : resolve(base, clone.dir),
    host: clone.listen ?? '127.0.0.1',
    ports,
    hook: clone.hook === undefined ? null : resolve(base, clone.hook),
    hookTimeoutMs: parseDuration(clone.hook_timeout ?? '10m', 'clone.hook_timeout'),
  };
}

/** @throws UsageError `TM_CONFIG` that names the setting. */
export function eventSettings(events: ConfigFile['events'], base: string): EventSettings | null {
  if (events === undefined) return null;
  const { sasl_mechanism: mechanism, sasl_user: username, sasl_password_file: file } = events;
  const given = [mechanism, username, file].filter((each) => each !== undefined).length;
  if (given !== 0 && given !== 3) {
    throw new UsageError(
      'TM_CONFIG',
      'events.sasl_mechanism, sasl_user and sasl_password_file belong together',
    );
  }
  const ca = events.tls_ca_file;
  const tls =
    events.tls === true || ca !== undefined
      ? { caFile: ca === undefined ? null : resolve(base, ca) }
      : null;
  if (mechanism === 'plain' && tls === null) refuseClearPassword(events.brokers);
  return {
    brokers: events.brokers,
    topicPrefix: events.topic_prefix ?? 'tidemark.',
    tls,
    sasl:
      mechanism === undefined || username === undefined || file === undefined
        ? null
        : { mechanism, username, password: secretSource(file, base) },
  };
}

/** `plain` sends the password as it is: without TLS it stays on this host. */
function refuseClearPassword(brokers: readonly string[]): void {
  const away = brokers.find((broker) => !LOOPBACK.test(hostOf(broker)));
  if (away === undefined) return;
  throw new UsageError(
    'TM_CONFIG',
    `events.sasl_mechanism = "plain" would send the password to ${away} in clear`,
    { hint: 'set events.tls = true or events.tls_ca_file, or use scram-sha-512' },
  );
}

function hostOf(broker: string): string {
  return broker.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}

/**
 * Reads `HOST:PORT`, with brackets around an IPv6 address.
 * @throws UsageError `TM_CONFIG` that names the setting.
 */
export function listenAddress(text: string, name: string): ListenAddress {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535) {
    throw new UsageError('TM_CONFIG', `${name} is not HOST:PORT: ${JSON.stringify(text)}`);
  }
  return { host, port: Number(port) };
}
