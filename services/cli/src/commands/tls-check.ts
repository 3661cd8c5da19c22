import {
  daysLeft,
  describeAddress,
  dialNode,
  parseNodeUrl,
  type CertificateFacts,
  type NodeAddress,
  type TlsPeer,
} from '@tidemark/client';
import { TidemarkError, UsageError } from '@tidemark/core';
import { systemClock } from '@tidemark/system';
import {
  describeEntry,
  type InstanceEntry,
  instanceTarget,
  loadConfig,
  locateNode,
  securedAddress,
} from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import type { TlsFlags } from '../program/tls-flags.ts';
import { tlsOfFlags } from './tls-flags.ts';

const TIMEOUT_MS = 10_000;
const DAYS_MIN = 7;

/** Flags of `tls check`. */
export interface TlsCheckFlags extends TlsFlags {
  readonly url?: string;
}

/** A certificate as it is printed. */
interface ShownCertificate {
  readonly subject: string;
  readonly issuer: string;
  readonly fingerprint: string;
  readonly from: string;
  readonly to: string;
  readonly daysLeft: number;
}

/** What was found of one node. */
interface TlsFinding {
  readonly instance: string | null;
  readonly node: string;
  readonly ok: boolean;
  readonly name?: string;
  readonly protocol?: string;
  readonly cipher?: string;
  readonly certificate?: ShownCertificate;
  readonly verifiedBy?: ShownCertificate | null;
  readonly own?: ShownCertificate | null;
  /** Null: those of the system. */
  readonly authorities?: readonly ShownCertificate[] | null;
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly hint: string | null;
  };
}

/** Connects to nodes with TLS and shows what they show. */
export async function checkTls(
  id: string | null,
  flags: TlsCheckFlags,
  invocation: Invocation,
): Promise<void> {
  const findings = await findingsOf(id, flags, invocation);
  const healthy = findings.every(
    ({ ok, certificate, own, verifiedBy }) =>
      ok && [certificate, own, verifiedBy].every((one) => (one?.daysLeft ?? DAYS_MIN) >= DAYS_MIN),
  );
  invocation.printer.result({ healthy, nodes: findings }, () =>
    findings.length === 0 ? ['no instance with rediss:// is configured'] : findings.flatMap(textOf),
  );
  if (!healthy) process.exitCode = 1;
}

async function findingsOf(
  id: string | null,
  flags: TlsCheckFlags,
  { configPath, signal }: Invocation,
): Promise<readonly TlsFinding[]> {
  if (flags.url !== undefined) {
    if (id !== null) throw new UsageError('TM_USAGE', '--url is for a node that is not configured');
    const address = await securedAddress(parseNodeUrl(flags.url), tlsOfFlags(flags));
    if (address.tls === undefined) throw withoutTls(describeAddress(address));
    return [await finding(null, () => Promise.resolve(address), signal)];
  }
  if (Object.keys(tlsOfFlags(flags)).length > 0) {
    throw new UsageError('TM_USAGE', 'settings of TLS are for --url; an instance has its own');
  }
  const config = await loadConfig(configPath);
  const isSecured = ({ url }: InstanceEntry): boolean => /^rediss[:+]/i.test(url);
  const entries = config.instances.filter((entry) => id === null || entry.id === id);
  if (id !== null) {
    const [entry] = entries;
    if (entry === undefined) {
      throw new UsageError('TM_NOT_FOUND', `no instance ${id} is configured`);
    }
    if (!isSecured(entry)) throw withoutTls(describeEntry(entry.url));
  }
  const findings: TlsFinding[] = [];
  for (const entry of entries.filter(isSecured)) {
    const open = async (): Promise<NodeAddress> =>
      locateNode(await instanceTarget(entry, config.path), signal);
    findings.push(await finding(entry, open, signal));
  }
  return findings;
}

function withoutTls(node: string): UsageError {
  return new UsageError('TM_USAGE', `${node} goes without TLS`, {
    hint: 'write rediss://HOST:PORT',
  });
}

async function finding(
  entry: InstanceEntry | null,
  open: () => Promise<NodeAddress>,
  signal: AbortSignal,
): Promise<TlsFinding> {
  const instance = entry?.id ?? null;
  let node = entry === null ? '' : describeEntry(entry.url);
  let tls: NodeAddress['tls'];
  try {
    const address = await open();
    node = describeAddress(address);
    tls = address.tls;
    const socket = await dialNode(address, { timeoutMs: TIMEOUT_MS, signal });
    socket.destroy();
    const peer = tls?.peers.find((one) => one.host === address.host && one.port === address.port);
    return { instance, node, ok: true, ...peerFacts(peer), ...ourFacts(tls) };
  } catch (cause) {
    if (!(cause instanceof TidemarkError) || signal.aborted) throw cause;
    const { code, message, hint = null } = cause;
    return { instance, node, ok: false, ...ourFacts(tls), error: { code, message, hint } };
  } finally {
    tls?.[Symbol.dispose]();
  }
}

function peerFacts(peer: TlsPeer | undefined): Partial<TlsFinding> {
  if (peer === undefined) return {};
  const { name, protocol, cipher, certificate, verifiedBy } = peer;
  return {
    ...{ name, protocol, cipher, certificate: shown(certificate) },
    verifiedBy: verifiedBy === null ? null : shown(verifiedBy),
  };
}

function ourFacts(tls: NodeAddress['tls']): Partial<TlsFinding> {
  if (tls === undefined) return {};
  const { ownCertificate: own, authorities } = tls;
  return {
    own: own === null ? null : shown(own),
    authorities: authorities?.map(shown) ?? null,
  };
}

function shown(certificate: CertificateFacts): ShownCertificate {
  const { subject, issuer, fingerprint, fromMs, toMs } = certificate;
  const [from, to] = [new Date(fromMs).toISOString(), new Date(toMs).toISOString()];
  const left = daysLeft(certificate, systemClock.nowMs());
  return { subject, issuer, fingerprint, from, to, daysLeft: left };
}

function textOf(found: TlsFinding): readonly string[] {
  const head = found.instance === null ? found.node : `${found.instance}  ${found.node}`;
  const ends = ({ to, daysLeft: left }: ShownCertificate): string =>
    `ends ${to.slice(0, 10)} (${left.toString()} days)`;
  const { certificate, verifiedBy, own, authorities, error } = found;
  const rows: string[] = [];
  if (error !== undefined) {
    rows.push(`FAIL  ${error.message} (${error.code})`);
    if (error.hint !== null) rows.push(`      ${error.hint}`);
  }
  if (found.protocol !== undefined) rows.push(`${found.protocol}, ${found.cipher ?? ''}`);
  if (certificate !== undefined) {
    rows.push(`node      ${certificate.subject} for ${found.name ?? ''}, ${ends(certificate)}`);
    rows.push(`          SHA-256 ${certificate.fingerprint}`);
  }
  if (verifiedBy !== undefined && verifiedBy !== null) {
    rows.push(`signed by ${verifiedBy.subject}, ${ends(verifiedBy)}`);
  }
  if (own !== undefined) {
    rows.push(own === null ? 'we show   no certificate' : `we show   ${own.subject}, ${ends(own)}`);
  }
  for (const authority of authorities ?? []) {
    rows.push(`trusted   ${authority.subject}, ${ends(authority)}`);
  }
  if (authorities === null) rows.push('trusted   the authorities of the system');
  return [head, ...rows.map((row) => `  ${row}`)];
}
