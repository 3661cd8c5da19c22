import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { refuseUnverified, StoreError } from '@tidemark/core';
import type { S3StoreSettings } from '../open-store.ts';
import { SOCKETS_MAX, type S3Limits } from './limits.ts';

/**
 * A client of the SDK. It tries everything once: what is repeated, and how often, is said by
 * `Requests`.
 * @throws UsageError `TM_TLS_SETTINGS` in a process that would verify nothing; StoreError
 *   `TM_STORE_URL`.
 */
export function makeClient(settings: S3StoreSettings, limits: S3Limits): S3Client {
  // Credentials are fetched by clients of the SDK's own, which nobody can tell to verify.
  refuseUnverified(process.env);
  // The SDK advises newer versions of Node on standard error, at every start.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';
  const endpoint = settings.endpoint === null ? null : checkedEndpoint(settings.endpoint);
  const agentOptions = { keepAlive: true, maxSockets: SOCKETS_MAX };
  const checks = settings.checksum === 'when_supported' ? 'WHEN_SUPPORTED' : 'WHEN_REQUIRED';
  return new S3Client({
    region: settings.region,
    ...(endpoint === null ? {} : { endpoint }),
    forcePathStyle: settings.forcePathStyle,
    requestChecksumCalculation: checks,
    // What is read is authenticated by its container; a second sum over it tells nothing more.
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 1,
    followRegionRedirects: false,
    expectContinueHeader: false,
    requestHandler: new NodeHttpHandler({
      httpAgent: new HttpAgent(agentOptions),
      httpsAgent: new HttpsAgent({
        ...agentOptions,
        minVersion: 'TLSv1.2',
        // The environment changes its default.
        rejectUnauthorized: true,
      }),
      connectionTimeout: limits.connectMs,
      // Whole requests are bounded by a deadline of their own, bodies by their progress.
      socketTimeout: Math.max(limits.answerMs, limits.stallMs) * 2,
      throwOnRequestTimeout: true,
    }),
  });
}

/**
 * An address that may be used.
 * @throws StoreError `TM_STORE_URL`.
 */
function checkedEndpoint(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw refused('is not an address', 'e.g. https://s3.example.com', cause);
  }
  if (url.username !== '' || url.password !== '') {
    throw refused(
      'carries a password',
      'credentials come from the environment or from shared files',
    );
  }
  if (url.protocol === 'https:') return url.href;
  if (url.protocol !== 'http:') throw refused('is not https', 'e.g. https://s3.example.com');
  if (!isLoopback(url.hostname)) {
    throw refused(
      'is http:// and not on this machine: names and signatures would travel in clear',
      'use https://',
    );
  }
  return url.href;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** The endpoint itself is not repeated: it may carry a secret. */
function refused(why: string, hint: string, cause?: unknown): StoreError {
  return new StoreError('TM_STORE_URL', `store.endpoint ${why}`, { hint, cause });
}
