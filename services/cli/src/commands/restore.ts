import { resolve } from 'node:path';
import { parseNodeUrl } from '@tidemark/client';
import { UsageError } from '@tidemark/core';
import {
  abortRestore,
  dryRun,
  restore,
  resumeRestore,
  type RestoreReport,
  type RestoreRequest,
  type RestoreTarget,
  type TargetNode,
} from '@tidemark/restorer';
import { systemClock } from '@tidemark/system';
import {
  configuredAddress,
  freshen,
  readFrom,
  readSecret,
  secretSource,
  securedAddress,
  withLease,
  Workspace,
} from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import type { FeedFlags } from '../program/feed-flags.ts';
import type { TlsFlags } from '../program/tls-flags.ts';
import { FEED_TLS_FLAGS, feedTlsOf, newServerTlsOf } from './feed-flags.ts';
import { restoreEnvironment } from './restore-environment.ts';
import { pointOf, type PointFlags } from './restore-point.ts';
import { requireConsent } from './owned-target.ts';
import { reportText } from './restore-text.ts';
import { selectorOf, type SelectorFlags } from './selector-flags.ts';
import { skipOf } from './skip-flag.ts';
import { tlsOfFlags } from './tls-flags.ts';
import { ttlOf } from './ttl-flag.ts';
import { resumeWriteBackCommand, writeBackCommand, type WriteBackFlags } from './write-back.ts';

/** Flags of `tidemark restore` as commander gives them. */
export interface RestoreFlags
  extends PointFlags, SelectorFlags, WriteBackFlags, TlsFlags, FeedFlags {
  readonly to?: string;
  readonly passFile?: string;
  readonly port?: string;
  readonly dir?: string;
  readonly ttl?: string;
  readonly withFunctions?: boolean;
  readonly skip?: string;
  readonly promote: boolean;
  readonly dryRun?: boolean;
  readonly verify?: 'stream' | 'full';
  readonly withAcl?: boolean;
  readonly withDefaultUser?: boolean;
  readonly withConfig?: boolean;
  readonly yes?: boolean;
  readonly confirm?: string;
  readonly resume?: string;
  readonly abort?: string;
}

/** Restores, plans, resumes or calls off, as the flags say. */
export async function restoreCommand(
  id: string,
  flags: RestoreFlags,
  invocation: Invocation,
): Promise<void> {
  const { printer, signal } = invocation;
  const over = flags.resume ?? flags.abort;
  if (over !== undefined) refuseOther(flags);
  if (flags.to === 'original') {
    refuseOfOthers(flags);
    return writeBackCommand(id, flags, skipOf(flags.skip), invocation);
  }
  const request = over === undefined ? await requestOf(id, flags, invocation) : null;
  using workspace = await Workspace.open(invocation);
  await freshen(workspace, id, signal);
  const environment = {
    ...restoreEnvironment(workspace, invocation),
    original: await configuredAddress(id, workspace.config),
    ...(flags.yes === true
      ? {
          checkNode: (target: TargetNode) =>
            requireConsent(target, flags.confirm, workspace, signal),
        }
      : {}),
  };
  const lease = {
    instance: id,
    fromSecond: request === null ? null : readFrom(workspace.catalog, id, request.point),
    isLong: flags.dryRun !== true,
  };
  let report: RestoreReport;
  if (request !== null) {
    const run = flags.dryRun === true ? dryRun : restore;
    report = await withLease(lease, workspace, invocation.printer, () => run(request, environment));
  } else if (flags.resume !== undefined) {
    const { resume } = flags;
    if (await resumeWriteBackCommand(id, resume, { flags, workspace, invocation })) return;
    report = await withLease(lease, workspace, invocation.printer, () =>
      resumeRestore(id, resume, readSecret, environment),
    );
  } else {
    report = await abortRestore(id, flags.abort ?? '', readSecret, environment);
  }
  for (const warning of report.warnings) printer.warn(warning);
  const isNew = flags.to === 'new' && flags.dir === undefined;
  printer.result(report, () => reportText(id, report, invocation.configPath, isNew));
}

const TLS_FLAGS = [
  ['tlsCa', '--tls-ca'],
  ['tlsCert', '--tls-cert'],
  ['tlsKey', '--tls-key'],
  ['tlsName', '--tls-name'],
  ['tlsMinVersion', '--tls-min-version'],
  ['tlsCiphers', '--tls-ciphers'],
] as const satisfies readonly (readonly [keyof RestoreFlags, string])[];

/** Flags of the original alone. */
const MISSING_FLAGS = [
  ['keepMissing', '--keep-missing'],
  ['deleteMissing', '--delete-missing'],
] as const satisfies readonly (readonly [keyof RestoreFlags, string])[];

/** Flags that --resume and --abort do not heed: a restore is gone on with as it was begun. */
const OF_A_NEW_RESTORE: readonly (readonly [keyof RestoreFlags, string])[] = [
  ['dryRun', '--dry-run'],
  ['at', '--at'],
  ['exclusive', '--exclusive'],
  ['offset', '--offset'],
  ['before', '--before'],
  ['timeline', '--timeline'],
  ['backup', '--backup'],
  ['ttl', '--ttl'],
  ['key', '--key'],
  ['regex', '--regex'],
  ['glob', '--glob'],
  ['keysFile', '--keys-file'],
  ['db', '--db'],
  ['type', '--type'],
  ['excludeKey', '--exclude-key'],
  ['excludeRegex', '--exclude-regex'],
  ['excludeGlob', '--exclude-glob'],
  ['excludeDb', '--exclude-db'],
  ['excludeType', '--exclude-type'],
  ['withFunctions', '--with-functions'],
  ['skip', '--skip'],
  ['to', '--to'],
  ['passFile', '--pass-file'],
  ...TLS_FLAGS,
  ['port', '--port'],
  ['dir', '--dir'],
  ['verify', '--verify'],
  ...MISSING_FLAGS,
  ['withAcl', '--with-acl'],
  ['withDefaultUser', '--with-default-user'],
  ['withConfig', '--with-config'],
  ['feedListen', '--feed-listen'],
  ['feedAdvertise', '--feed-advertise'],
  ...FEED_TLS_FLAGS,
];

/** Else `--abort ID --dry-run` would empty the target. */
function refuseOther(flags: RestoreFlags): void {
  const [, found] = OF_A_NEW_RESTORE.find(([name]) => flags[name] !== undefined) ?? [];
  const other = found ?? (flags.promote ? null : '--no-promote');
  if (other === null) return;
  const over = flags.resume === undefined ? '--abort' : '--resume';
  throw new UsageError('TM_USAGE', `${over} does not go with ${other}`, {
    hint: 'a restore goes on, and is called off, as it was begun',
  });
}

/** Flags that mean nothing for the running original. */
const OF_OTHER_TARGETS: readonly (readonly [keyof RestoreFlags, string])[] = [
  ['passFile', '--pass-file'],
  ...TLS_FLAGS,
  ['port', '--port'],
  ['dir', '--dir'],
  ['verify', '--verify'],
  ['withFunctions', '--with-functions'],
  ['withAcl', '--with-acl'],
  ['withDefaultUser', '--with-default-user'],
  ['withConfig', '--with-config'],
  ['feedListen', '--feed-listen'],
  ['feedAdvertise', '--feed-advertise'],
  ...FEED_TLS_FLAGS,
];

function refuseOfOthers(flags: RestoreFlags): void {
  const [, found] = OF_OTHER_TARGETS.find(([name]) => flags[name] !== undefined) ?? [];
  const other = found ?? (flags.promote ? null : '--no-promote');
  if (other === null) return;
  throw new UsageError('TM_USAGE', `--to original does not go with ${other}`);
}

async function requestOf(
  id: string,
  flags: RestoreFlags,
  invocation: Invocation,
): Promise<RestoreRequest> {
  const [, missing] = MISSING_FLAGS.find(([name]) => flags[name] !== undefined) ?? [];
  if (missing !== undefined) {
    throw new UsageError('TM_USAGE', `${missing} belongs to --to original`);
  }
  const selector = await selectorOf(flags, invocation);
  if (flags.withFunctions === true && selector === null) {
    throw new UsageError('TM_USAGE', '--with-functions belongs to selected keys', {
      hint: 'a restore of everything has them anyway',
    });
  }
  const ttl = ttlOf(flags.ttl, selector !== null, systemClock.nowMs());
  const target = await targetOf(flags);
  return {
    instance: id,
    point: pointOf(flags, systemClock.nowMs()),
    ttl,
    selector,
    withFunctions: flags.withFunctions === true,
    skip: skipOf(flags.skip),
    target,
    promote: flags.promote,
    // Reading all of a store on this host costs little, and damage is then found before the target
    // is touched; a target that will be emptied must not be for nothing. Of selected keys little is
    // read, and that is verified as it is read.
    verify: flags.verify ?? (selector === null || flags.yes === true ? 'full' : 'stream'),
    allowFlush: flags.yes === true,
    feedListen: flags.feedListen ?? null,
    feedAdvertise: flags.feedAdvertise ?? null,
    feedTls: target.kind === 'server' ? feedTlsOf(flags) : null,
    facts: factsOf(flags),
  };
}

function factsOf(flags: RestoreFlags): RestoreRequest['facts'] {
  const [acl, config] = [flags.withAcl === true, flags.withConfig === true];
  const defaultUser = flags.withDefaultUser === true;
  if (defaultUser && !acl) {
    throw new UsageError('TM_USAGE', '--with-default-user belongs to --with-acl');
  }
  return acl || config ? { acl, defaultUser, config } : null;
}

async function targetOf(flags: RestoreFlags): Promise<RestoreTarget> {
  const { to, passFile, port, dir } = flags;
  if (to === undefined && flags.dryRun === true) return { kind: 'new', port: 0, dir: null };
  if (to === undefined) {
    throw new UsageError(
      'TM_USAGE',
      'say where to: --to redis://HOST:PORT (rediss:// with TLS), --to new or --to original',
    );
  }
  if (to === 'new') {
    const tls = newServerTlsOf(flags);
    const number = Number(port ?? 0);
    if (!Number.isInteger(number) || number < 0 || number > 65_535) {
      throw new UsageError('TM_USAGE', `${JSON.stringify(port)} is not a port`);
    }
    const folder = dir === undefined ? null : resolve(dir);
    return { kind: 'new', port: number, dir: folder, ...(tls === null ? {} : { tls }) };
  }
  if (port !== undefined || dir !== undefined) {
    throw new UsageError('TM_USAGE', '--port and --dir belong to --to new');
  }
  // Not shown: a password may stand in it.
  if (!/^[a-z]+:/.test(to)) {
    throw new UsageError('TM_USAGE', 'what --to names is no target', {
      hint: 'write redis://[USER@]HOST:PORT, rediss:// for TLS, unix:///PATH, new or original',
    });
  }
  const tls = tlsOfFlags(flags);
  const address = await securedAddress(parseNodeUrl(to), tls);
  const passwordFile = passFile === undefined ? null : secretSource(passFile, '.');
  return {
    kind: 'server',
    url: to,
    passwordFile,
    tls,
    address:
      passwordFile === null ? address : { ...address, password: await readSecret(passwordFile) },
  };
}
