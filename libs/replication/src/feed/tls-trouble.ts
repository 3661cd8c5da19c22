import { NodeError, type Clock, type ErrorContext } from '@tidemark/core';

/**
 * Why a server that came from the right address did not get through TLS.
 *
 * `feed-refused`: it does not take our certificate; `no-certificate`, `untrusted-certificate`,
 * `other-certificate`: its own is missing, does not hold, or is not the pinned one; `version`: no
 * version or cipher in common; `plain-target`, `tls-target`: only the other side speaks TLS;
 * `broken`: the connection ended inside the handshake.
 */
export type TlsReason =
  | 'feed-refused'
  | 'no-certificate'
  | 'untrusted-certificate'
  | 'other-certificate'
  | 'version'
  | 'plain-target'
  | 'tls-target'
  | 'broken';

/** What was seen since the last server that got through. */
export interface TlsTrouble {
  readonly reason: TlsReason;
  /** As OpenSSL or Node.js name it. */
  readonly detail: string;
  readonly attempts: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** A server tries about once a second. One failure may be a stranger, or a link that was cut. */
const ATTEMPTS_MIN = 3;
const LOOK_MS = 250;

const TEXTS: Readonly<Record<TlsReason, readonly [message: string, hint: string]>> = {
  'feed-refused': [
    'the target refuses the certificate of the feed',
    'its tls-ca-cert-file must hold the authority that signed --feed-cert, for servers and not expired; its log says what it found',
  ],
  'no-certificate': [
    'the target shows the feed no certificate',
    'set tls-cert-file of the target, or tls-client-cert-file',
  ],
  'untrusted-certificate': [
    'the certificate that the target shows the feed does not hold',
    'its authority must be among --tls-ca, and it must be good for clients (clientAuth)',
  ],
  'other-certificate': [
    'the target shows the feed another certificate than the pinned one',
    'with tls-client-cert-file set, name its SHA-256: --feed-pin',
  ],
  version: [
    'target and feed have no TLS version or cipher in common',
    'tls-protocols of the target must have TLSv1.2 or TLSv1.3',
  ],
  'plain-target': [
    'the target asks for the data without TLS',
    'was tls-replication of the target switched off meanwhile',
  ],
  'tls-target': [
    'the target asks for the data over TLS, the feed is a plain one',
    'was tls-replication of the target switched on meanwhile',
  ],
  broken: [
    'the target ends its connections to the feed amid the TLS handshake',
    'its log says why; is there something between that looks into TLS',
  ],
};

/** Reads what Node.js tells of a failed handshake. */
export function tlsReasonOf(code: string, authorization: string): TlsReason {
  if (authorization !== '') return 'untrusted-certificate';
  if (code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') return 'no-certificate';
  if (/UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION|NO_SHARED_CIPHER|HANDSHAKE_FAILURE/.test(code)) {
    return 'version';
  }
  if (/_ALERT_/.test(code)) return 'feed-refused';
  return 'broken';
}

/** Anybody who tries a port may do that: told at the end of the whole time, and no reason to end earlier. */
const WEAK: readonly TlsReason[] = ['no-certificate', 'version', 'broken'];
const isWeak = ({ reason }: Pick<TlsTrouble, 'reason'>): boolean => WEAK.includes(reason);

/** One more failure. What says little takes nothing away from what says more, and adds nothing to it. */
export function addTrouble(
  before: TlsTrouble | null,
  reason: TlsReason,
  detail: string,
  nowMs: number,
): TlsTrouble {
  if (before === null || (isWeak(before) && !isWeak({ reason }))) {
    return { reason, detail, attempts: 1, firstMs: nowMs, lastMs: nowMs };
  }
  if (isWeak({ reason }) && !isWeak(before)) return before;
  // A cut connection says nothing about a cause that is known by now.
  const known = reason === 'broken' ? before : { reason, detail };
  return {
    ...{ reason: known.reason, detail: known.detail, attempts: before.attempts + 1 },
    ...{ firstMs: before.firstMs, lastMs: nowMs },
  };
}

/** How a feed waits for its server. */
export interface LinkWait {
  readonly clock: Clock;
  readonly ms: number;
  /** Aborts when it is there. */
  readonly arrived: AbortSignal;
  readonly trouble: () => TlsTrouble | null;
  readonly tlsMs: number;
  readonly context: () => ErrorContext;
}

/**
 * Waits for a server, for the whole time at most; not on while one from the right address fails in
 * TLS again and again as only a server does, for it would do so for ever. Strangers who do that cannot
 * end a feed whose server comes within `tlsMs`.
 * @throws NodeError `TM_FEED_TLS` with `context.reason`.
 */
export async function waitForLink(wait: LinkWait): Promise<void> {
  const { clock, arrived } = wait;
  const startMs = clock.monotonicMs();
  for (;;) {
    const nowMs = clock.monotonicMs();
    const leftMs = startMs + wait.ms - nowMs;
    const trouble = wait.trouble();
    if (trouble !== null && trouble.lastMs >= startMs && trouble.attempts >= ATTEMPTS_MIN) {
      const sinceMs = Math.max(startMs, trouble.firstMs);
      const sure = !isWeak(trouble) && nowMs - sinceMs >= wait.tlsMs;
      if (leftMs <= 0 || sure) throw tlsError(trouble, wait.context());
    }
    if (leftMs <= 0) return;
    await clock.sleep(Math.min(leftMs, LOOK_MS), arrived).catch(() => undefined);
    if (arrived.aborted) return;
  }
}

function tlsError({ reason, detail, attempts }: TlsTrouble, context: ErrorContext): NodeError {
  const [message, hint] = TEXTS[reason];
  return new NodeError('TM_FEED_TLS', message, {
    context: { ...context, reason, detail, attempts },
    hint,
  });
}
