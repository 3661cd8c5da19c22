import { UsageError } from '@tidemark/core';

/** Where a key service of the AWS kind is reached. Credentials come from the chain of the AWS SDK. */
export interface KmsConnection {
  /** E.g. `eu-central-1`. A key ARN names its own region, which is then used. */
  readonly region: string;
  /** Address of a service that is not AWS's own; null is AWS. */
  readonly endpoint: string | null;
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/**
 * Checks region and endpoint. An endpoint in the clear is for this host only: data keys travel.
 * @throws UsageError `TM_CONFIG`.
 */
export function assertKmsConnection({ region, endpoint }: KmsConnection): void {
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(region)) {
    throw new UsageError('TM_CONFIG', `keys.kms_region ${JSON.stringify(region)} is no region`, {
      hint: 'for example eu-central-1',
    });
  }
  if (endpoint === null) return;
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null;
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
  if (url === null || !isHttp || url.username !== '' || url.password !== '') {
    throw new UsageError('TM_CONFIG', 'keys.kms_endpoint is not an address like https://HOST:PORT');
  }
  if (url.protocol === 'https:' || LOOPBACK.test(url.hostname)) return;
  throw new UsageError('TM_CONFIG', `keys.kms_endpoint ${url.origin} is not encrypted`, {
    hint: 'data keys travel on it: use https://, or http:// on this host alone (127.0.0.1)',
  });
}

/** Region of a key ARN (`arn:aws:kms:REGION:ACCOUNT:key/ID`); null for an id or alias. */
export function regionOfKey(keyId: string): string | null {
  return /^arn:[a-z0-9-]+:kms:([a-z0-9-]+):/.exec(keyId)?.[1] ?? null;
}

/** Whether it is the ARN of a key, which names one key for good; an alias may be moved. */
export function isKeyArn(keyId: string): boolean {
  return /^arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]*:key\/[A-Za-z0-9-]+$/.test(keyId);
}
