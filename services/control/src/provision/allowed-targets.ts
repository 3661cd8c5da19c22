import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { describeAddress, parseNodeUrl, type NodeAddress } from '@tidemark/client';
import { PlanError, UsageError } from '@tidemark/core';
import { isLoopback, isSpecialAddress, parseRange, plainIp, type IpRange } from './ip-rules.ts';

/** Rules in one list. */
const RULES_MAX = 1024;
/** Addresses of one name that are looked at. */
const ADDRESSES_MAX = 64;

/** An address whose name was looked up, once: whoever connects gets exactly this place. */
export interface PinnedAddress extends NodeAddress {
  /** The name that it was given by, which its certificate must have; absent for an IP address. */
  readonly pinnedName?: string;
}

/** A list of servers in the configuration. */
export interface AllowSetting {
  /** E.g. `restorer.allow_targets`. */
  readonly name: string;
  /** What its servers may be used for, e.g. `written into`. */
  readonly use: string;
}

const TARGETS: AllowSetting = { name: 'restorer.allow_targets', use: 'written into' };

/** Asks for the addresses of a name. */
export type Resolve = (name: string) => Promise<readonly string[]>;

interface Rule {
  /** Null: told by addresses. */
  readonly name: string | null;
  readonly range: IpRange | null;
  readonly from: number;
  readonly to: number;
}

/**
 * Checks a server that somebody wants data written into against `[restorer] allow_targets`, and pins
 * its address: the name is looked up here and never again, so that it cannot lead elsewhere when it is
 * connected to.
 *
 * Link-local and multicast addresses, and those where clouds serve metadata, are refused unless a rule
 * names them.
 * @param url - `redis://[USER@]HOST[:PORT]` or `rediss://…`.
 * @param allow - `HOST:PORT`, `HOST:FROM-TO`, `CIDR:PORT`, `CIDR:FROM-TO`; IPv6 in brackets.
 * @param setting - The list that `allow` is.
 * @returns The address with an IP address as its host.
 * @throws UsageError `TM_USAGE` for no address, `TM_CONFIG` for a wrong rule; PlanError
 *   `TM_TARGET_DENIED` when no rule allows it, `TM_NODE_UNREACHABLE` for a name without an address.
 */
export async function checkTarget(
  url: string,
  allow: readonly string[],
  resolve: Resolve = lookUp,
  setting: AllowSetting = TARGETS,
): Promise<PinnedAddress> {
  const address = parseNodeUrl(url);
  if (address.path !== undefined) {
    throw denied(address, 'is a unix socket, which no request may name', 'name HOST:PORT');
  }
  const rules = parseRules(allow, setting.name);
  const { host, port } = address;
  const literal = isIP(host) !== 0;
  const isName = ({ name }: Rule): boolean => name === host.toLowerCase();
  const fitting = rules.filter(({ from, to }) => port >= from && port <= to);
  if (!fitting.some((rule) => rule.range !== null || isName(rule)))
    throw unlisted(address, setting);
  const found = literal ? [host] : (await resolve(host)).slice(0, ADDRESSES_MAX);
  if (found.length === 0) {
    throw new PlanError('TM_NODE_UNREACHABLE', `${describeAddress(address)} has no address`, {
      hint: 'the name is not known to this host',
    });
  }
  const pinned = found.find((ip) => fitting.some((rule) => mayReach(rule, ip, isName(rule))));
  if (pinned !== undefined) {
    return { ...address, host: plainIp(pinned), ...(literal ? {} : { pinnedName: host }) };
  }
  if (found.every(isSpecialAddress)) {
    throw denied(
      address,
      'leads to a link-local, metadata or multicast address',
      `such an address is reached only where ${setting.name} names it as it is`,
    );
  }
  const own = found.find(isLoopback);
  if (own !== undefined && fitting.some(isName)) {
    throw denied(
      address,
      `leads to ${plainIp(own)}, which is this host alone: a rule with a name does not reach that`,
      `name the address in tidemark.toml: ${lineOf({ host: plainIp(own), port }, setting)}`,
    );
  }
  throw unlisted(address, setting);
}

/**
 * Looks whether a server that was pinned earlier may still be written into.
 * @param url - As it was named.
 * @param pinned - As it was pinned (`pinnedUrl`): its name is not looked up again.
 * @param setting - The list that `allow` is.
 * @throws As `checkTarget`.
 */
export async function checkPinned(
  url: string,
  pinned: string,
  allow: readonly string[],
  setting: AllowSetting = TARGETS,
): Promise<void> {
  const { host } = parseNodeUrl(pinned);
  await checkTarget(url, allow, () => Promise.resolve([host]), setting);
}

/** The address as it can be written down, with what it was pinned to. */
export function pinnedUrl(address: PinnedAddress): string {
  const url = describeAddress(address);
  if (address.username === undefined) return url;
  return url.replace('://', `://${encodeURIComponent(address.username)}@`);
}

function mayReach({ name, range }: Rule, ip: string, isNamed: boolean): boolean {
  if (range === null) {
    // A name that is made to lead here would reach what listens for this host alone.
    return isNamed && !isSpecialAddress(ip) && (name === 'localhost' || !isLoopback(ip));
  }
  return range.has(ip) && (range.isSpecial || !isSpecialAddress(ip));
}

/**
 * Reads a list of allowed servers.
 * @param setting - Its name, for errors.
 * @throws UsageError `TM_CONFIG` that names the rule.
 */
export function parseRules(
  allow: readonly string[],
  setting: string = TARGETS.name,
): readonly Rule[] {
  if (allow.length > RULES_MAX) {
    throw new UsageError('TM_CONFIG', `${setting} has ${allow.length} rules`, {
      context: { rules: allow.length, max: RULES_MAX },
    });
  }
  return allow.map((text) => parseRule(text, setting));
}

function parseRule(text: string, setting: string): Rule {
  const [, bracketed, plain, first, last] =
    /^(?:\[([^\]\s]+)\]|([^:\s[\]]+)):(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const where = bracketed ?? plain;
  const [from, to] = [Number(first), Number(last ?? first)];
  const range = where === undefined ? null : parseRange(where);
  const isName = plain !== undefined && /^[A-Za-z0-9]([A-Za-z0-9._-]{0,252})$/.test(plain);
  if (!(from >= 1 && from <= to && to <= 65_535) || (range === null && !isName)) {
    throw new UsageError('TM_CONFIG', `${setting}: ${JSON.stringify(text)} is no rule`, {
      hint: 'write HOST:PORT, HOST:FROM-TO, CIDR:PORT or CIDR:FROM-TO, IPv6 in brackets: [fd00::/8]:6379',
    });
  }
  return { name: range === null ? (plain ?? '').toLowerCase() : null, range, from, to };
}

function unlisted(address: NodeAddress, setting: AllowSetting): PlanError {
  return denied(
    address,
    `is not among the servers that may be ${setting.use}`,
    `allow it in tidemark.toml: ${lineOf(address, setting)}`,
  );
}

function lineOf(
  { host, port }: Pick<NodeAddress, 'host' | 'port'>,
  { name }: AllowSetting,
): string {
  const rule = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return `[${name.replace('.', '] ')} = ["${rule}"]`;
}

function denied(address: NodeAddress, why: string, hint: string): PlanError {
  return new PlanError('TM_TARGET_DENIED', `${describeAddress(address)} ${why}`, { hint });
}

/** Asks the system for the addresses of a name; none for one that it does not know. */
export async function lookUp(name: string): Promise<readonly string[]> {
  const found = await lookup(name, { all: true, verbatim: true }).catch(() => []);
  return found.map(({ address }) => address);
}
