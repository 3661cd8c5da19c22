import {
  DeleteObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
} from '@aws-sdk/client-s3';
import type { ObjectVersion, VersionAccess, VersionLock } from '../object-versions.ts';
import { keyOf, nameOf, rootOf } from './object-name.ts';
import { S3Answer, type Requests, type S3Call } from './requests.ts';

/** Where a store is. */
interface StorePlace {
  readonly bucket: string;
  readonly storePrefix: string;
}

const NOT_IMPLEMENTED = 501;

/**
 * The versions that a bucket keeps. A bucket without versioning has one of each object, whose id is
 * `null`. A server that does not know versions says so, or answers with an ordinary listing: it
 * names none, and `listVersions` asks it for its objects besides.
 */
export class S3Versions implements VersionAccess {
  readonly #requests: Requests;
  readonly #place: StorePlace;

  constructor(requests: Requests, place: StorePlace) {
    this.#requests = requests;
    this.#place = place;
  }

  async *list(
    prefix: string,
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<readonly ObjectVersion[], void, undefined> {
    let from: ListObjectVersionsCommandOutput | null = null;
    do {
      const page: ListObjectVersionsCommandOutput | null = await this.#page(
        prefix,
        from,
        options.signal,
      );
      if (page === null) return;
      const found = [
        ...(page.Versions ?? []).map((each) => ({ ...each, isMarker: false })),
        ...(page.DeleteMarkers ?? []).map((each) => ({ ...each, isMarker: true })),
      ].flatMap(({ Key: name = '', VersionId: versionId = 'null', isMarker }) => {
        const key = keyOf(this.#place.storePrefix, name);
        return key === null ? [] : [{ key, versionId, isMarker }];
      });
      if (found.length > 0) yield found;
      from = goesOn(page, from) ? page : null;
    } while (from !== null);
  }

  async lockOf(version: ObjectVersion): Promise<VersionLock | null> {
    if (version.isMarker) return null;
    const call = this.#call('HeadObject', 's3:GetObjectVersion', version.key);
    const ask = (target: { Bucket: string; Key: string }): Promise<HeadObjectCommandOutput> =>
      this.#requests.send({ ...call, answers: [400, 404] }, (client, http) =>
        client.send(new HeadObjectCommand(target), http),
      );
    const { VersionId: id, ...current } = this.#target(version);
    try {
      const value = await ask({ ...current, ...{ VersionId: id } }).catch((cause: unknown) => {
        // A server without versions may not know the id of the only one.
        if (id === 'null' && cause instanceof S3Answer) return ask(current);
        throw cause;
      });
      const untilMs = value.ObjectLockRetainUntilDate?.getTime() ?? null;
      const legalHold = value.ObjectLockLegalHoldStatus === 'ON';
      return untilMs === null && !legalHold ? null : { untilMs, legalHold };
    } catch (cause) {
      if (!(cause instanceof S3Answer)) throw cause;
      if (cause.failure.status === 404) return null;
      throw this.#requests.errorOf(cause.failure, call);
    }
  }

  async remove(version: ObjectVersion): Promise<void> {
    try {
      await this.#requests.send(
        { ...this.#call('DeleteObject', 's3:DeleteObjectVersion', version.key), answers: [404] },
        (client, http) => client.send(new DeleteObjectCommand(this.#target(version)), http),
      );
    } catch (cause) {
      if (!(cause instanceof S3Answer)) throw cause;
    }
  }

  /** Null: the server does not know versions. */
  async #page(
    prefix: string,
    from: ListObjectVersionsCommandOutput | null,
    signal: AbortSignal | undefined,
  ): Promise<ListObjectVersionsCommandOutput | null> {
    const call = this.#call('ListObjectVersions', 's3:ListBucketVersions', null, signal);
    const command = new ListObjectVersionsCommand({
      Bucket: this.#place.bucket,
      Prefix: rootOf(this.#place.storePrefix) + prefix,
      KeyMarker: from?.NextKeyMarker,
      VersionIdMarker: from?.NextVersionIdMarker,
    });
    try {
      return await this.#requests.send({ ...call, answers: [NOT_IMPLEMENTED] }, (client, http) =>
        client.send(command, http),
      );
    } catch (cause) {
      if (!(cause instanceof S3Answer)) throw cause;
      if (from === null) return null;
      throw this.#requests.errorOf(cause.failure, call); // it did know them a page before
    }
  }

  #call(operation: string, action: string, key: string | null, signal?: AbortSignal): S3Call {
    return { operation, action, key, signal };
  }

  /** The id `null` is sent too: without it a versioned bucket would only be marked. */
  #target(version: ObjectVersion): { Bucket: string; Key: string; VersionId: string } {
    const { bucket, storePrefix } = this.#place;
    const name = nameOf(storePrefix, version.key);
    return { Bucket: bucket, Key: name, VersionId: version.versionId };
  }
}

/** Whether a listing goes on, and from another place than before. */
function goesOn(
  page: ListObjectVersionsCommandOutput,
  from: ListObjectVersionsCommandOutput | null,
): boolean {
  if (page.IsTruncated !== true || page.NextKeyMarker === undefined) return false;
  const { NextKeyMarker: key, NextVersionIdMarker: version } = page;
  return key !== from?.NextKeyMarker || version !== from.NextVersionIdMarker;
}
