import { dirname, join, resolve } from 'node:path';
import {
  localServers,
  type CloneReport,
  type Control,
  type Job,
  type Json,
} from '@tidemark/control';
import { isSafeName, UsageError } from '@tidemark/core';
import { selectorToJson } from '@tidemark/selector';
import { systemClock } from '@tidemark/system';
import { loadConfig, parseSize, readSecret, secretSource } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { countOf } from '../output/count.ts';
import { table } from '../output/table.ts';
import { formatSecond } from '../time.ts';
import { pointOf } from './restore-point.ts';
import { controlOf, runJob } from './run-job.ts';
import { selectorOf, type SelectorFlags } from './selector-flags.ts';
import { ttlOf } from './ttl-flag.ts';

/** Flags that say where a new server comes from. */
export interface TargetFlags {
  readonly to: string;
  readonly name?: string;
  readonly passFile?: string;
  readonly toPassword?: string;
  readonly port?: string;
  readonly memory?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
  readonly tlsName?: string;
  readonly tlsClients: string;
  readonly sample: string;
  readonly detach?: boolean;
}

/** Flags of `clone` as commander gives them. */
export interface CloneFlags extends TargetFlags, SelectorFlags {
  readonly at?: string;
  readonly backup?: string;
  readonly ttl?: string;
  readonly keep?: string;
  readonly register?: boolean;
  readonly verify: string;
}

/** Makes a clone. */
export async function cloneCommand(
  id: string,
  flags: CloneFlags,
  invocation: Invocation,
): Promise<void> {
  const nowMs = systemClock.nowMs();
  const selector = await selectorOf(flags, invocation);
  const { at, backup, keep, register = false, verify } = flags;
  const source = sourceOf(at, backup, nowMs);
  if (flags.name === undefined) {
    throw new UsageError('TM_USAGE', 'a clone needs a name', { hint: 'add --name NAME' });
  }
  checkTarget(flags);
  await using control = await controlOf(invocation);
  const request = {
    ...{ source, verify, register },
    ...(selector === null ? {} : { selector: selectorToJson(selector) }),
    ttl: ttlOf(flags.ttl, selector !== null, nowMs),
    ...(keep === undefined ? {} : { keep: keep.split(',') }),
    ...(await targetRequest(flags, control)),
  } as Json;
  const order = { kind: 'clone', instance: id, request, detach: flags.detach === true } as const;
  await runJob(order, control, invocation, (job) => cloneText(job, invocation.configPath));
}

/**
 * Looks at what flags say of the new server, before anything is opened.
 * @throws UsageError `TM_USAGE`.
 */
export function checkTarget(flags: TargetFlags): void {
  const { name } = flags;
  targetOf(flags);
  if (name === undefined || isSafeName(name)) return;
  throw new UsageError('TM_USAGE', `${JSON.stringify(name)} cannot be the name of a server`, {
    hint: 'lower-case letters, digits and hyphens, at most 63',
  });
}

/** A clone is of the timeline that is current then: its request names none. */
function sourceOf(at: string | undefined, backup: string | undefined, nowMs: number): Json {
  if (at === undefined)
    return backup === undefined ? { kind: 'latest' } : { kind: 'backup', backup };
  const point = pointOf({ at }, nowMs);
  return point.kind === 'second' ? { kind: 'second', second: point.second } : { kind: 'latest' };
}

/** What flags say of the new server; its password goes into a file first. */
export async function targetRequest(
  flags: TargetFlags,
  { provisioners }: Control,
): Promise<{ readonly [name: string]: Json }> {
  const { name, passFile, memory, sample } = flags;
  const passwordRef =
    passFile === undefined
      ? null
      : await provisioners.keepPassword(
          await readSecret(secretSource(passFile, '.'), 'the new server'),
        );
  return {
    target: targetOf(flags),
    ...(name === undefined ? {} : { name }),
    ...(passwordRef === null ? {} : { passwordRef }),
    ...(memory === undefined ? {} : { memoryBytes: parseSize(memory, '--memory') }),
    sample: Number(sample),
  };
}

function targetOf(flags: TargetFlags): Json {
  const {
    to,
    port,
    tlsCert: cert,
    tlsKey: key,
    tlsCa: ca,
    tlsName,
    tlsClients,
    toPassword,
  } = flags;
  const serverName = tlsName ?? null;
  const authorities = ca === undefined ? [] : [ca];
  const tls = { ca: authorities, cert: cert ?? null, key: key ?? null, serverName };
  if (to === 'hook') return { kind: 'hook', tls };
  // Not shown: a password may stand in it.
  if (to !== 'local' && !/^[a-z]+:/.test(to)) {
    throw new UsageError('TM_USAGE', 'what --to names is no target', {
      hint: 'write local, hook or redis://[USER@]HOST:PORT (rediss:// with TLS)',
    });
  }
  if (to !== 'local') return { kind: 'address', url: to, passwordRef: toPassword ?? null, tls };
  const isSecure = cert !== undefined || key !== undefined;
  if (isSecure && (cert === undefined || key === undefined || ca === undefined)) {
    throw new UsageError('TM_USAGE', '--tls-cert, --tls-key and --tls-ca belong together');
  }
  return {
    kind: 'local',
    port: port === undefined ? null : Number(port),
    tls: isSecure ? { ...tls, clients: tlsClients } : null,
  };
}

/** What a clone was handed over with. */
export function cloneText({ result }: Job, configPath: string): readonly string[] {
  const { name, url, keys, expired, compared, instance, warnings, ...report } =
    result as unknown as CloneReport;
  const since = expired > 0 ? `, ${expired.toString()} have expired since` : '';
  return [
    `${name}: ${url}`,
    `${countOf(keys, 'key')}${since}; ${compared === 0 ? 'no sample was compared (--sample N)' : `${compared.toString()} compared with the archive`}`,
    `password: ${passwordText(report, configPath)}`,
    ...(instance === null ? [] : [`protected from now on as instance ${instance}`]),
    ...warnings.map((warning) => `note: ${warning}`),
  ];
}

function passwordText(
  { password, passwordRef }: Pick<CloneReport, 'password' | 'passwordRef'>,
  configPath: string,
): string {
  if (passwordRef !== null) {
    return `first line of ${join(dirname(resolve(configPath)), 'secrets', passwordRef)}`;
  }
  return password === 'of-source' ? 'that of the source, where it has one' : password;
}

/** Lists the servers that were started on this host. */
export async function listClones({ configPath, printer }: Invocation): Promise<void> {
  const { clone } = await loadConfig(configPath);
  const found = await localServers(clone.dir);
  const rows = found.map(({ id, name, instance, host, port, tls, state, createdMs }) => {
    const url = `${tls ? 'rediss' : 'redis'}://${host.includes(':') ? `[${host}]` : host}:${port.toString()}`;
    const created = formatSecond(Math.floor(createdMs / 1000));
    return { id, name, instance, url, state, created, dir: join(clone.dir, id) };
  });
  printer.result({ clones: rows }, () =>
    rows.length === 0
      ? ['no clones on this host']
      : table(
          ['NAME', 'OF', 'ADDRESS', 'STATE', 'CREATED (UTC)', 'FOLDER'],
          rows.map((row) => [row.name, row.instance, row.url, row.state, row.created, row.dir]),
        ),
  );
}
