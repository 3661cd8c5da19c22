import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { FeedTls } from './options.ts';
import { tlsReasonOf, type TlsReason } from './tls-trouble.ts';

/** Forward secret and authenticated: no CBC, no key exchange with RSA alone. */
const CIPHERS =
  'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:ECDHE+AESGCM:ECDHE+CHACHA20';

/** Who is told. */
export interface DoorPorts {
  /** A connection with the pinned certificate at its other end. */
  readonly onSecured: (raw: string, socket: TLSSocket) => void;
  readonly onTrouble: (raw: string, reason: TlsReason, detail: string) => void;
}

/** The other end of a connection, by which its raw and its secured socket know each other. */
export const endOf = ({ remoteAddress, remotePort }: Socket): string =>
  `${remoteAddress ?? ''} ${String(remotePort ?? 0)}`;

/**
 * The TLS in front of a gate: a certificate is wanted from the other side, verified, and compared
 * with the pinned one. It listens on nothing: the gate hands it the connections that it accepted.
 */
export class TlsDoor {
  readonly #server: Server;

  /** Throws what Node.js says of certificate, key and authorities that cannot be used. */
  constructor(tls: FeedTls, { onSecured, onTrouble }: DoorPorts) {
    this.#server = createServer({
      cert: tls.cert,
      key: tls.key,
      ...(tls.ca === null ? {} : { ca: [...tls.ca] }),
      ciphers: tls.ciphers ?? CIPHERS,
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      requestCert: true,
      rejectUnauthorized: true,
      // The gate has a time of its own for that.
      handshakeTimeout: 0x7fffffff,
    });
    this.#server.on('secureConnection', (socket) => {
      socket.on('error', () => socket.destroy());
      const shown = socket.getPeerCertificate().fingerprint256 as string | undefined;
      // A session that is gone on with would prove what was shown earlier.
      if (shown === tls.peerFingerprint && !socket.isSessionReused()) {
        onSecured(endOf(socket), socket);
        return;
      }
      onTrouble(endOf(socket), 'other-certificate', shown ?? 'none');
      socket.destroy();
    });
    this.#server.on('tlsClientError', (error, socket) => {
      const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
      // Typed as an Error, in truth a code; null where it did not come to that.
      const unauthorized = socket.authorizationError as unknown;
      const authorization = typeof unauthorized === 'string' ? unauthorized : '';
      const detail = authorization === '' ? code : authorization;
      onTrouble(endOf(socket), tlsReasonOf(code, authorization), detail);
      socket.destroy();
    });
  }

  /** Begins the handshake on a connection that was accepted; what was read of it is put back. */
  shakeHands(raw: Socket): void {
    this.#server.emit('connection', raw);
  }
}
