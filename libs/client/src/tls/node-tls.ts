import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import {
  checkServerIdentity,
  type ConnectionOptions,
  type DetailedPeerCertificate,
  type PeerCertificate,
  type TLSSocket,
} from 'node:tls';
import { NodeError, refuseUnverified, TidemarkError } from '@tidemark/core';
import { ExpiryTeller, type TlsExpiry } from './expiry.ts';
import { FolderWatch, type WatchPauses } from './folder-watch.ts';
import { SessionCache, type CachedSession } from './session-cache.ts';
import { loadMaterial, type TlsMaterial } from './tls-material.ts';
import { settingsError, type TlsSettings } from './tls-settings.ts';
import { certificateFacts, findAnchor, type CertificateFacts } from './trust.ts';

const PAUSES: WatchPauses = { settleMs: 250, pollMs: 60_000 };
const PEERS_MAX = 1024;
const CHAIN_MAX = 12;

/** What is told while connections are used. Each thing is told once, not at every look. */
export interface TlsHooks {
  /** The files on disk cannot be used; what was read before stays in force. */
  readonly onFault?: (fault: TidemarkError) => void;
  /** Changed files are in force: new connections use them. */
  readonly onReload?: (dropped: number) => void;
  /** A certificate ends soon. */
  readonly onExpiry?: (expiry: TlsExpiry) => void;
  /** Default: looks 250 ms after an event, and every 60 s. */
  readonly pauses?: WatchPauses;
}

/** Where a connection goes. */
export interface TlsPlace {
  readonly host: string;
  readonly port: number;
}

/** A peer as it showed itself at the latest connection. */
export interface TlsPeer extends TlsPlace {
  /** The name that was verified. */
  readonly name: string;
  readonly certificate: CertificateFacts;
  /** The authority that vouched for it; null when it cannot be told. */
  readonly verifiedBy: CertificateFacts | null;
  /** E.g. `TLSv1.3`. */
  readonly protocol: string;
  /** Name of the IETF, e.g. `TLS_AES_256_GCM_SHA384`. */
  readonly cipher: string;
  /** Whether an earlier session was gone on with. */
  readonly resumed: boolean;
}

/** A connection that is about to be opened. */
interface PlannedConnection {
  readonly options: ConnectionOptions;
  /** Called with the connection at once. */
  readonly attend: (socket: TLSSocket) => void;
  /**
   * Called after the handshake, before anything is sent.
   * @throws NodeError `TM_TLS_VERIFY` for what the handshake of a resumed session does not look at.
   */
  readonly prove: (socket: TLSSocket) => void;
  /** Called when the connection failed: its session is not tried again. */
  readonly forget: () => void;
}

/** A connection that is open, and what its peer showed. */
interface LiveConnection {
  readonly chain: readonly X509Certificate[];
  readonly place: TlsPlace;
}

/**
 * Reads the files of the settings and keeps them up to date. It is shared by all connections of one
 * node or set of nodes, and disposed of by whoever opened it; it does not keep the process alive.
 * @throws UsageError `TM_TLS_SETTINGS` for settings and files that cannot be used.
 */
export async function openNodeTls(settings: TlsSettings, hooks: TlsHooks = {}): Promise<NodeTls> {
  refuseUnverified(process.env);
  const tls = new NodeTls(settings, hooks, await loadMaterial(settings, Date.now()));
  await tls.watch();
  return tls;
}

/** What the connections to a node are secured with, as it is now. Made by `openNodeTls`. */
export class NodeTls implements Disposable {
  readonly settings: TlsSettings;
  readonly #hooks: TlsHooks;
  readonly #sessions = new SessionCache(() => performance.now());
  readonly #live = new Map<TLSSocket, LiveConnection>();
  readonly #peers = new Map<string, TlsPeer>();
  readonly #expiries: ExpiryTeller;
  readonly #files: readonly string[];
  #material: TlsMaterial;
  #watch: FolderWatch | null = null;
  #reloading: Promise<void> | null = null;
  #again = false;
  #fault: string | null = null;
  #changed = new AbortController();

  constructor(settings: TlsSettings, hooks: TlsHooks, material: TlsMaterial) {
    this.settings = settings;
    this.#hooks = hooks;
    this.#material = material;
    this.#expiries = new ExpiryTeller((expiry) => hooks.onExpiry?.(expiry));
    const { caFiles = [], certFile, keyFile } = settings;
    const own = [certFile, keyFile].filter((path) => path !== undefined);
    this.#files = [...caFiles, ...own].map((path) => resolve(path));
  }

  /** Changes with every file and setting. */
  get fingerprint(): string {
    return this.#material.fingerprint;
  }

  /** Aborted when other files come into force: what was refused may be taken then. */
  get changed(): AbortSignal {
    return this.#changed.signal;
  }

  /** The latest connection to each node. */
  get peers(): readonly TlsPeer[] {
    return [...this.#peers.values()];
  }

  /** How many sessions could be gone on with. */
  get sessions(): number {
    return this.#sessions.size;
  }

  /** Our own certificate; null without one. */
  get ownCertificate(): CertificateFacts | null {
    const [own] = this.#material.own;
    return own === undefined ? null : certificateFacts(own);
  }

  /** The trusted authorities; null: those that Node.js brings. */
  get authorities(): readonly CertificateFacts[] | null {
    return this.#material.bundle?.map(certificateFacts) ?? null;
  }

  /** Begins to look after the files. */
  async watch(): Promise<void> {
    this.#tellExpiries();
    this.#watch = new FolderWatch(this.#files, this.#hooks.pauses ?? PAUSES, () => {
      void this.reload();
    });
    await this.#watch.refresh();
  }

  /** The name that the certificate of a host must have. */
  nameOf({ host }: TlsPlace): string {
    return this.settings.serverName ?? host;
  }

  /**
   * Options of `tls.connect` for a host: verification is on, whatever the environment says; and what
   * is to be done with the connection that comes of it.
   */
  connectTo(place: TlsPlace): PlannedConnection {
    const name = this.nameOf(place);
    const material = this.#material;
    const key = `${place.host} ${place.port} ${name} ${material.fingerprint}`;
    const cached = this.#sessions.get(key);
    const options: ConnectionOptions = {
      host: place.host,
      port: place.port,
      secureContext: material.context,
      rejectUnauthorized: true,
      // An IP address is no server name (RFC 6066, section 3).
      ...(isIP(name) === 0 ? { servername: name } : {}),
      checkServerIdentity: (_, certificate) => nameFault(name, certificate),
      ...(cached === null ? {} : { session: cached.session }),
    };
    let proven: Omit<CachedSession, 'session'> | null = null;
    let early: Buffer | null = null;
    const keep = (session: Buffer): void => {
      if (material !== this.#material) return; // trust has changed meanwhile
      if (proven === null) early = session;
      else this.#sessions.put(key, { ...proven, session });
    };
    const prove = (socket: TLSSocket): void => {
      proven = this.#prove(socket, { place, material, cached });
      if (early !== null) keep(early);
    };
    return {
      options,
      // In TLS 1.2 the session is there before the end of the handshake, in 1.3 after it.
      attend: (socket) => void socket.on('session', keep),
      prove,
      forget: () => this.#sessions.delete(key),
    };
  }

  #prove(
    socket: TLSSocket,
    {
      place,
      material,
      cached,
    }: { place: TlsPlace; material: TlsMaterial; cached: CachedSession | null },
  ): Omit<CachedSession, 'session'> {
    const old = socket.isSessionReused() ? cached : null;
    const chain = old?.chain ?? chainOf(socket.getPeerCertificate(true));
    const [leaf] = chain;
    if (leaf === undefined) throw unproven('no-certificate', 'is missing', place);
    if (old !== null) this.#checkResumed(leaf, place);
    this.#checkStillTrusted(chain, material, place);
    const verifiedBy = old === null ? this.#anchorOf(chain, material) : old.verifiedBy;
    this.#live.set(socket, { chain, place });
    socket.once('close', () => this.#live.delete(socket));
    this.#note({
      ...{ ...place, name: this.nameOf(place), resumed: old !== null, verifiedBy },
      certificate: certificateFacts(leaf),
      protocol: socket.getProtocol() ?? 'unknown',
      cipher: socket.getCipher().standardName,
    });
    return { chain, verifiedBy, sinceMs: old?.sinceMs ?? performance.now() };
  }

  /** Node.js leaves both to the handshake that the session came from. */
  #checkResumed(leaf: X509Certificate, place: TlsPlace): void {
    if (nameFault(this.nameOf(place), leaf.toLegacyObject()) !== undefined) {
      throw unproven('wrong-name', 'has another name', place);
    }
    if (Date.parse(leaf.validTo) <= Date.now()) throw unproven('expired', 'has expired', place);
  }

  /** The files may have changed while hands were shaken. */
  #checkStillTrusted(
    chain: readonly X509Certificate[],
    begunWith: TlsMaterial,
    place: TlsPlace,
  ): void {
    const { bundle } = this.#material;
    if (begunWith === this.#material || bundle === null) return;
    if (findAnchor(chain, bundle, Date.now()) === null) throw untrusted(place);
  }

  #anchorOf(chain: readonly X509Certificate[], { bundle }: TlsMaterial): CertificateFacts | null {
    const anchor = bundle === null ? chain.at(-1) : findAnchor(chain, bundle, Date.now());
    return anchor === undefined || anchor === null ? null : certificateFacts(anchor);
  }

  #note(peer: TlsPeer): void {
    const key = `${peer.host} ${peer.port}`;
    this.#peers.delete(key);
    this.#peers.set(key, peer);
    const [oldest] = this.#peers.keys();
    if (this.#peers.size > PEERS_MAX && oldest !== undefined) this.#peers.delete(oldest);
    this.#expiries.look('peer', peer.certificate, `${peer.host}:${peer.port}`);
  }

  /** Reads the files again. What cannot be used leaves everything as it is. */
  reload(): Promise<void> {
    this.#again = true;
    this.#reloading ??= this.#reloadAll().finally(() => (this.#reloading = null));
    return this.#reloading;
  }

  async #reloadAll(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      await this.#reloadOnce();
    }
  }

  async #reloadOnce(): Promise<void> {
    let material: TlsMaterial;
    try {
      material = await loadMaterial(this.settings, Date.now());
    } catch (error) {
      const fault = asFault(error);
      if (this.#fault !== fault.message) this.#hooks.onFault?.(fault);
      this.#fault = fault.message;
      return;
    }
    this.#fault = null;
    this.#tellExpiries();
    if (material.fingerprint === this.#material.fingerprint) return;
    this.#material = material;
    this.#sessions.purge();
    this.#hooks.onReload?.(this.#dropUntrusted(material));
    const before = this.#changed;
    this.#changed = new AbortController();
    before.abort(new Error('the certificates have changed'));
  }

  /** Ends connections to peers for which nobody in the new bundle vouches. */
  #dropUntrusted({ bundle }: TlsMaterial): number {
    if (bundle === null) return 0;
    let dropped = 0;
    for (const [socket, { chain, place }] of [...this.#live]) {
      if (findAnchor(chain, bundle, Date.now()) !== null) continue;
      dropped += 1;
      socket.destroy(untrusted(place));
    }
    return dropped;
  }

  #tellExpiries(): void {
    const { own, bundle } = this.#material;
    const [leaf] = own;
    if (leaf !== undefined) this.#expiries.look('own', certificateFacts(leaf));
    for (const authority of bundle ?? []) {
      this.#expiries.look('authority', certificateFacts(authority));
    }
    for (const { host, port, certificate } of this.#peers.values()) {
      this.#expiries.look('peer', certificate, `${host}:${port}`);
    }
  }

  /** Stops looking after the files. Connections that are open stay. */
  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
  }
}

/** Whatever goes wrong with the files, what is in force stays so, and the process goes on. */
function asFault(error: unknown): TidemarkError {
  if (error instanceof TidemarkError) return error;
  const text = error instanceof Error ? error.message : 'unknown';
  return settingsError(`the files cannot be read: ${text}`, 'see what became of them');
}

/** The next attempt tells whether somebody else vouches for the peer: it may come at once. */
function untrusted({ host, port }: TlsPlace): NodeError {
  const node = `rediss://${host}:${port}`;
  const message = `ended: the certificate of ${node} comes from an authority that is trusted no longer`;
  return new NodeError('TM_NODE_UNREACHABLE', message, { context: { node, reason: 'unknown-ca' } });
}

function unproven(reason: string, what: string, { host, port }: TlsPlace): NodeError {
  const node = `rediss://${host}:${port}`;
  return new NodeError('TM_TLS_VERIFY', `the certificate of ${node} ${what}`, {
    context: { node, reason },
    hint: 'tidemark tls check shows the certificate of a node and the authorities that are trusted',
  });
}

/**
 * Why a certificate is not that of a name; undefined when it is. Node.js would take the common name
 * of one without DNS entries, which says nothing of hosts (RFC 9525, section 2).
 */
function nameFault(name: string, certificate: PeerCertificate): Error | undefined {
  // Values with commas in them are quoted: what they hold is no entry.
  const entries = (certificate.subjectaltname ?? '').replaceAll(/"(?:[^"\\]|\\.)*"/g, '');
  if (isIP(name) !== 0 || /(^|, )DNS:/.test(entries)) return checkServerIdentity(name, certificate);
  const fault = new Error('the certificate has no DNS entry');
  return Object.assign(fault, { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
}

/** What the peer showed, its own certificate first; Node.js adds the authority it found. */
function chainOf(certificate: DetailedPeerCertificate): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  // An object without anything where there is no certificate, whatever the type says.
  let at = certificate as Partial<DetailedPeerCertificate> | undefined;
  while (at?.raw !== undefined && chain.length < CHAIN_MAX) {
    const known = new X509Certificate(at.raw);
    if (chain.some(({ fingerprint256 }) => fingerprint256 === known.fingerprint256)) break;
    chain.push(known);
    at = at.issuerCertificate;
  }
  return chain;
}
