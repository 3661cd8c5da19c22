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
} from '@tidemark/restorer';
import { systemClock } from '@tidemark/system';
import { readPassword } from '../config/load.ts';
import { freshen, Workspace, type Invocation } from '../context.ts';
import { formatBytes } from '../output/table.ts';
import { factsText } from './facts.ts';
import { restoreEnvironment } from './restore-environment.ts';
import { pointOf, type PointFlags } from './restore-point.ts';
import { ttlLine, ttlOf } from './ttl-flag.ts';

/** Flags of `tidemark restore` as commander gives them. */
export interface RestoreFlags extends PointFlags {
  readonly to?: string;
  readonly passFile?: string;
  readonly port?: string;
  readonly dir?: string;
  readonly ttl?: string;
  readonly promote: boolean;
  readonly dryRun?: boolean;
  readonly verify?: 'stream' | 'full';
  readonly withAcl?: boolean;
  readonly withDefaultUser?: boolean;
  readonly withConfig?: boolean;
  readonly yes?: boolean;
  readonly feedListen?: string;
  readonly feedAdvertise?: string;
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
  const request = over === undefined ? await requestOf(id, flags) : null;
  using workspace = await Workspace.open(invocation);
  await freshen(workspace, id, signal);
  const environment = restoreEnvironment(workspace, invocation);
  let report: RestoreReport;
  if (request !== null) {
    report = await (flags.dryRun === true ? dryRun : restore)(request, environment);
  } else if (flags.resume !== undefined) {
    report = await resumeRestore(id, flags.resume, readPassword, environment);
  } else {
    report = await abortRestore(id, flags.abort ?? '', readPassword, environment);
  }
  for (const warning of report.warnings) printer.warn(warning);
  printer.result(report, () => reportText(id, report, invocation.configPath));
}

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
  ['to', '--to'],
  ['passFile', '--pass-file'],
  ['port', '--port'],
  ['dir', '--dir'],
  ['verify', '--verify'],
  ['withAcl', '--with-acl'],
  ['withDefaultUser', '--with-default-user'],
  ['withConfig', '--with-config'],
  ['feedListen', '--feed-listen'],
  ['feedAdvertise', '--feed-advertise'],
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

async function requestOf(id: string, flags: RestoreFlags): Promise<RestoreRequest> {
  const ttl = ttlOf(flags.ttl, false, systemClock.nowMs());
  const target = await targetOf(flags);
  return {
    instance: id,
    point: pointOf(flags, systemClock.nowMs()),
    ttl,
    target,
    promote: flags.promote,
    // Reading all of a store on this host costs little, and damage is then found before the target
    // is touched; a target that will be emptied must not be for nothing.
    verify: flags.verify ?? 'full',
    allowFlush: flags.yes === true,
    feedListen: flags.feedListen ?? null,
    feedAdvertise: flags.feedAdvertise ?? null,
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
    throw new UsageError('TM_USAGE', 'say where to: --to redis://HOST:PORT or --to new');
  }
  if (to === 'new') {
    const number = Number(port ?? 0);
    if (!Number.isInteger(number) || number < 0 || number > 65_535) {
      throw new UsageError('TM_USAGE', `${JSON.stringify(port)} is not a port`);
    }
    return { kind: 'new', port: number, dir: dir === undefined ? null : resolve(dir) };
  }
  if (port !== undefined || dir !== undefined) {
    throw new UsageError('TM_USAGE', '--port and --dir belong to --to new');
  }
  const address = parseNodeUrl(to);
  const passwordFile = passFile === undefined ? null : resolve(passFile);
  return {
    kind: 'server',
    url: to,
    passwordFile,
    address:
      passwordFile === null ? address : { ...address, password: await readPassword(passwordFile) },
  };
}

/** Which way the data takes into the target. */
function pathText({ path }: RestoreReport): string[] {
  if (path === null) return [];
  const changed = Object.entries(path.changedCommands).map(
    ([name, count]) => `${count.toString()} ${name.toUpperCase()}`,
  );
  const forms = [
    ...(path.snapshot === 'converted' ? ['the snapshot'] : []),
    ...(changed.length > 0 ? [changed.join(', ')] : []),
  ];
  const converted = forms.length === 0 ? '' : `, in another form: ${forms.join('; ')}`;
  return [`path: ${path.name}, ${path.source} to ${path.target}${converted}`];
}

function reportText(id: string, report: RestoreReport, configPath: string): string[] {
  const { cut, at, target, keys, vanishing, commands, bytes, elapsedSeconds } = report;
  const where = at ?? `offset ${cut.offset}`;
  const again = `tidemark -c ${configPath} restore ${id}`;
  switch (report.state) {
    case 'planned':
      return [
        `plan: ${id} at ${where}, timeline ${cut.timeline}, offset ${cut.offset}`,
        `to read and feed: ${formatBytes(bytes)}, up to ${commands.toString()} commands, ${keys.toString()} keys in the snapshot`,
        ttlLine(report.ttl),
        ...pathText(report),
        ...factsText(report.facts, true),
        'everything needed is there and whole; nothing was written',
      ];
    case 'aborted':
      // With a warning the target was not ours any more, and was left as it is.
      return [
        `restore ${report.id} was called off` +
          (report.warnings.length === 0 ? '; the target is empty and not promoted' : ''),
      ];
    default:
      return [
        `${id} at ${where} is in ${target}: ${keys.toString()} keys, ${commands.toString()} commands replayed, ` +
          `${formatBytes(bytes)} in ${elapsedSeconds.toFixed(1)} s`,
        ttlLine(report.ttl),
        ...(vanishing > 0
          ? [
              `${vanishing.toString()} keys have an expiry that has passed and ${report.state === 'replayed' ? 'go at the promotion' : 'go now'}` +
                ` (${report.vanishingSample.slice(0, 3).join(', ')}${vanishing > 3 ? ', …' : ''}); keep such keys with --ttl remaining`,
            ]
          : []),
        ...factsText(report.facts, false),
        ...(report.state === 'replayed'
          ? [
              `not promoted. Promote: ${again} --resume ${report.id}   Call off: ${again} --abort ${report.id}`,
            ]
          : []),
      ];
  }
}
