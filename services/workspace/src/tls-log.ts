import type { Logger } from '@tidemark/archiver';
import type { NodeTls, TlsHooks } from '@tidemark/client';

/** What an archiver logs of the certificates of an instance. */
export function tlsLog(instance: string, logger: Logger): TlsHooks {
  const log = logger.child({ instance });
  return {
    onFault: ({ code, message, hint = '' }) =>
      log.error('tls-files', { code, error: message, hint, inForce: 'those before' }),
    onReload: (dropped) => log.info('tls-reloaded', { connectionsEnded: dropped }),
    onExpiry: ({ what, node, certificate, daysLeft, level }) => {
      const { subject, issuer, fingerprint, toMs } = certificate;
      const ends = new Date(toMs).toISOString();
      const fields = { what, node, subject, issuer, fingerprint, ends, daysLeft };
      if (level <= 7) log.error('tls-expiry', fields);
      else log.warn('tls-expiry', fields);
    },
  };
}

/** The certificates of the instances of an archiver: those of one that is attached anew go. */
export class OpenedTls implements Disposable {
  readonly #opened = new Map<string, NodeTls>();

  keep(instance: string, tls: NodeTls | undefined): void {
    this.#opened.get(instance)?.[Symbol.dispose]();
    if (tls === undefined) this.#opened.delete(instance);
    else this.#opened.set(instance, tls);
  }

  [Symbol.dispose](): void {
    for (const tls of this.#opened.values()) tls[Symbol.dispose]();
  }
}
