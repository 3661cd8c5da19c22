import type { TlsSettings } from '@tidemark/client';

/** How a server that is to be written into is spoken to over TLS; names of files in the folder of secrets. */
export interface TlsRefs {
  /** Authorities that are trusted; none: those of the system. */
  readonly ca: readonly string[];
  /** Certificate and key that we show; null: none. */
  readonly cert: string | null;
  readonly key: string | null;
  readonly serverName: string | null;
}

/** Certificates of a server that is started here; names of files in the folder of secrets. */
export interface ServerTlsRefs {
  readonly cert: string;
  readonly key: string;
  readonly ca: readonly string[];
  /** Whether its clients must show a certificate of these authorities. */
  readonly clients: 'required' | 'optional' | 'no';
  /** The name in its certificate where that is not the address that it listens on. */
  readonly serverName: string | null;
}

/** Where a clone goes. */
export type CloneTarget =
  | {
      readonly kind: 'address';
      readonly url: string;
      /** Of the user in the address; null: none. */
      readonly passwordRef: string | null;
      readonly tls: TlsRefs | null;
    }
  | {
      readonly kind: 'local';
      /** Null: the first free one of `[clone] ports`. */
      readonly port: number | null;
      /** Given: it speaks TLS only. */
      readonly tls: ServerTlsRefs | null;
    }
  | {
      readonly kind: 'hook';
      /** How its server is spoken to when that speaks TLS. */
      readonly tls: TlsRefs | null;
    };

/** What a server is asked for with. */
export interface ProvisionRequest {
  /** Of the job: the same in every attempt, so that nothing is made twice. */
  readonly id: string;
  readonly instance: string;
  /** The name that its owner gives it. */
  readonly name: string;
  readonly target: CloneTarget;
  /** The password that it is to have; null: that of the source, or what whoever gives it has set. */
  readonly passwordRef: string | null;
  /** Whether it is to have the password of the source, which nobody here knows. */
  readonly closed: boolean;
  /** Bytes that it must be able to hold; 0: not known. */
  readonly memoryBytes: number;
  /** Its `maxmemory`; 0: no limit. */
  readonly maxmemory: number;
  readonly databases: number;
}

/** A server that a clone is written into. JSON: it is kept between attempts. */
export interface Provisioned {
  readonly kind: CloneTarget['kind'];
  /** How it is reached while it is loaded; with a user, without a password. */
  readonly url: string;
  /** The name that its certificate must have; null: the host of the address. */
  readonly serverName: string | null;
  /** The password of the user in `url`; null: none. */
  readonly passwordRef: string | null;
  readonly tls: TlsRefs | null;
  /** How others reach it. */
  readonly publicUrl: string;
  /** Who ends it when the clone fails: its owner, this host, or the hook. */
  readonly ownedBy: 'caller' | 'host' | 'hook';
  /** Folder of a server that was started here. */
  readonly dir: string | null;
}

/** What a provisioner works with. */
export interface ProvisionContext {
  readonly signal: AbortSignal;
  log(level: 'info' | 'warn' | 'error', message: string): void;
}

/** Where servers for clones come from. */
export interface Provisioner {
  /**
   * Makes a server ready, or finds the one that an earlier attempt with this id has made.
   * @throws TidemarkError `TM_PROVISION`, `TM_TARGET_DENIED`, `TM_TARGET_MEMORY`, `TM_SERVER_START`.
   */
  provision(request: ProvisionRequest, context: ProvisionContext): Promise<Provisioned>;
  /** Takes away what `provision` made, also what it was killed over. Safe to repeat. */
  release(request: ProvisionRequest, context: ProvisionContext): Promise<void>;
}

/** Settings of TLS with the paths of their files. */
export function tlsSettingsOf(
  { ca, cert, key, serverName }: TlsRefs,
  path: (name: string) => string,
  pinnedName: string | null = null,
): TlsSettings {
  const name = serverName ?? pinnedName;
  return {
    ...(ca.length === 0 ? {} : { caFiles: ca.map(path) }),
    ...(cert === null ? {} : { certFile: path(cert) }),
    ...(key === null ? {} : { keyFile: path(key) }),
    ...(name === null ? {} : { serverName: name }),
  };
}
