import {
  GetBucketLifecycleConfigurationCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  type LifecycleRule,
} from '@aws-sdk/client-s3';
import { S3Answer, type Requests } from './requests.ts';

/** What a bucket's own settings mean for a store in it; null: it could not be asked. */
export interface BucketRules {
  readonly objectLock: boolean | null;
  readonly versioning: boolean | null;
  /** What would be lost, a sentence each. */
  readonly warnings: readonly string[];
}

const UNKNOWN = [400, 403, 404, 405, 501] as const;

/** Reads Object Lock, versioning and lifecycle of a bucket; many servers know none of them. */
export async function readBucketRules(
  requests: Requests,
  place: { readonly bucket: string; readonly root: string },
  signal: AbortSignal | undefined,
): Promise<BucketRules> {
  const target = { Bucket: place.bucket };
  const ask = async <T>(
    operation: string,
    action: string,
    work: Parameters<typeof requests.send<T>>[1],
  ): Promise<T | 'none' | null> => {
    try {
      const call = { operation, action, key: null, signal, answers: UNKNOWN };
      return await requests.send(call, work);
    } catch (cause) {
      if (!(cause instanceof S3Answer)) throw cause;
      if (cause.failure.code === 'NoSuchBucket') {
        throw requests.errorOf(cause.failure, { operation, action, key: null });
      }
      return cause.failure.status === 403 ? null : 'none';
    }
  };
  const lock = await ask(
    'GetObjectLockConfiguration',
    's3:GetBucketObjectLockConfiguration',
    (client, http) => client.send(new GetObjectLockConfigurationCommand(target), http),
  );
  const versioning = await ask('GetBucketVersioning', 's3:GetBucketVersioning', (client, http) =>
    client.send(new GetBucketVersioningCommand(target), http),
  );
  const lifecycle = await ask(
    'GetBucketLifecycleConfiguration',
    's3:GetLifecycleConfiguration',
    (client, http) => client.send(new GetBucketLifecycleConfigurationCommand(target), http),
  );
  const rules = lifecycle === null || lifecycle === 'none' ? [] : (lifecycle.Rules ?? []);
  return {
    objectLock:
      lock === null
        ? null
        : lock !== 'none' && lock.ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled',
    versioning:
      versioning === null ? null : versioning !== 'none' && versioning.Status === 'Enabled',
    warnings: rules.flatMap((rule) => warningOf(rule, place.root)),
  };
}

/** Storage classes whose objects cannot be read without being asked back for hours. */
const COLD = new Set(['GLACIER', 'DEEP_ARCHIVE']);

function warningOf(rule: LifecycleRule, root: string): string[] {
  const prefix = rule.Filter?.Prefix ?? rule.Filter?.And?.Prefix ?? prefixBefore2013(rule);
  const touches = prefix.startsWith(root) || root.startsWith(prefix);
  if (rule.Status !== 'Enabled' || !touches) return [];
  const name =
    rule.ID === undefined ? 'a lifecycle rule' : `lifecycle rule ${JSON.stringify(rule.ID)}`;
  const { Days: days, Date: date } = rule.Expiration ?? {};
  const warnings: string[] = [];
  if (days !== undefined || date !== undefined) {
    const when = days === undefined ? 'at a date' : `after ${days} days`;
    warnings.push(`${name} deletes objects of the store ${when}: history would be lost`);
  }
  const cold = rule.Transitions?.find((move) => COLD.has(move.StorageClass ?? ''));
  if (cold !== undefined) {
    warnings.push(
      `${name} moves objects to ${cold.StorageClass ?? ''}: restores could not read them`,
    );
  }
  return warnings;
}

/** Rules of the older form name their prefix beside the filter. */
function prefixBefore2013(rule: LifecycleRule): string {
  const { Prefix: prefix } = rule as { readonly Prefix?: string };
  return prefix ?? '';
}
