import { isIP } from 'node:net';
import { describeAddress, parseNodeUrl } from '@tidemark/client';
import { PlanError, TidemarkError } from '@tidemark/core';
import type { Config } from '@tidemark/workspace';
import type { Actor } from '../jobs/job.ts';
import { checkTarget, pinnedUrl, type PinnedAddress } from './allowed-targets.ts';
import { requireFor } from './own-secrets.ts';
import { isOwnSecret, type SecretFolder } from './secrets.ts';

const SETTING = { name: 'restorer.target_secrets', use: 'given this password' };

/** Of the configuration: for which servers files of the folder of secrets are. */
type SecretRules = Pick<Config['worker'], 'targetSecrets'>;

/**
 * Refuses to give a stored password to a server that it is not for. Who may name a target of a restore may not
 * thereby have any password of the folder sent there. A file is for the servers that
 * `[restorer.target_secrets]` lists under its name; one that is not listed, for the server that its own name
 * tells: `HOST_PORT.pass`, with `-` for each `:` of an IPv6 address.
 * @param url - The target as it was named.
 * @param pinned - As its name was looked up: the place that it will be sent to.
 * @throws PlanError `TM_TARGET_DENIED` with `context.file`; UsageError `TM_CONFIG` for a wrong rule.
 */
export async function refuseForeignSecret(
  file: string,
  url: string,
  pinned: PinnedAddress,
  { targetSecrets }: SecretRules,
): Promise<void> {
  const rules = Object.hasOwn(targetSecrets, file) ? targetSecrets[file] : undefined;
  if (rules === undefined ? namesOf(url, pinned).includes(file) : await fits(url, pinned, rules)) {
    return;
  }
  const { host, port } = parseNodeUrl(url);
  const place = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const way =
    rules === undefined
      ? `name the file ${namesOf(url, pinned)[0] ?? ''}, or say whose it is`
      : 'say that it is for this one too';
  throw new PlanError('TM_TARGET_DENIED', `${file} is no password for ${place}`, {
    context: { file, target: describeAddress(pinned) },
    hint: `${way}, in tidemark.toml: [restorer.target_secrets] "${file}" = ["${place}"]`,
  });
}

/** The target of a restore as somebody named it. */
export interface NamedTarget {
  readonly url: string;
  readonly pinned: PinnedAddress;
  readonly via: Actor['via'];
}

/**
 * The path of a stored password that is to be given to a target. Who runs the command line may read the folder; but a
 * file of Tidemark itself is for its own server, whoever asks.
 * @throws As `requireFor` and `refuseForeignSecret`.
 */
export async function requireForTarget(
  file: string,
  { url, pinned, via }: NamedTarget,
  {
    workspace,
    secrets,
  }: { readonly workspace: { readonly config: Config }; readonly secrets: SecretFolder },
): Promise<string> {
  const { config } = workspace;
  if (via !== 'cli' && !isOwnSecret(file)) {
    await refuseForeignSecret(file, url, pinned, config.worker);
  }
  return requireFor(file, pinnedUrl(pinned), secrets, config);
}

/** `refuseForeignSecret` for a server that was pinned earlier. */
export async function refuseForeignPinned(
  file: string,
  url: string,
  pinned: string,
  settings: SecretRules,
): Promise<void> {
  const { host: name } = parseNodeUrl(url);
  const address = parseNodeUrl(pinned);
  const isNamed = isIP(name) === 0;
  await refuseForeignSecret(
    file,
    url,
    isNamed ? { ...address, pinnedName: name } : address,
    settings,
  );
}

/** Names of files that are for a target by themselves. */
function namesOf(url: string, { host: ip, port }: PinnedAddress): readonly string[] {
  const { host } = parseNodeUrl(url);
  const hosts = [host.toLowerCase(), ip.toLowerCase()];
  return hosts.map((each) => `${each.replaceAll(':', '-')}_${port.toString()}.pass`);
}

async function fits(
  url: string,
  pinned: PinnedAddress,
  rules: readonly string[],
): Promise<boolean> {
  const { host } = parseNodeUrl(pinnedUrl(pinned));
  try {
    await checkTarget(url, rules, () => Promise.resolve([host]), SETTING);
    return true;
  } catch (cause) {
    if (cause instanceof TidemarkError && cause.code === 'TM_TARGET_DENIED') return false;
    throw cause;
  }
}
