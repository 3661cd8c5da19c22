import { readFile } from 'node:fs/promises';
import { UsageError } from '@tidemark/core';
import { readSecret } from './secret.ts';
import type { EventSettings } from './services.ts';

/** How to reach the Kafka cluster, with what the settings only name. */
export interface EventsAccess extends Pick<EventSettings, 'brokers' | 'topicPrefix'> {
  /** `ca`: PEM of the authorities that are trusted; null: those of the system. */
  readonly tls: { readonly ca: string | null } | null;
  readonly sasl: EventSettings['sasl'];
}

/**
 * Reads the password and the certificates that `[events]` names.
 * @throws UsageError `TM_CONFIG` when one cannot be had.
 */
export async function eventsAccess(events: EventSettings): Promise<EventsAccess> {
  const { brokers, topicPrefix, tls, sasl } = events;
  const caFile = tls?.caFile ?? null;
  return {
    brokers,
    topicPrefix,
    tls: tls === null ? null : { ca: caFile === null ? null : await readAuthorities(caFile) },
    sasl: sasl === null ? null : { ...sasl, password: await readSecret(sasl.password, 'Kafka') },
  };
}

async function readAuthorities(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new UsageError('TM_CONFIG', `cannot read events.tls_ca_file ${path}`, { cause });
  }
}
