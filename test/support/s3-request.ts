import { createHash, createHmac } from 'node:crypto';

/** Who signs. */
export interface S3Signer {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

/** A request to an S3 server as its protocol says it, without the SDK that the product uses. */
export interface S3Request {
  readonly method: string;
  /** Begins with a slash. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** What came back. */
export interface S3Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, data: string): Buffer =>
  createHmac('sha256', key).update(data).digest();

/** As RFC 3986 has it: nothing but letters, digits and `-._~` stands for itself. */
const encoded = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );

/**
 * Sends a request signed by AWS Signature Version 4, headers and body included.
 * @see docs.aws.amazon.com, "Create a signed AWS API request"
 */
export async function sendS3(
  endpoint: string,
  signer: S3Signer,
  request: S3Request,
): Promise<S3Answer> {
  const path = request.path.split('/').map(encoded).join('/');
  const url = new URL(path, endpoint);
  const pairs = Object.entries(request.query ?? {}).map(
    ([name, value]) => [encoded(name), encoded(value)] as const,
  );
  const query = pairs
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
  const body = Buffer.from(request.body ?? '');
  const stamp = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '');
  const given = Object.entries(request.headers ?? {}).map(([name, value]) => [
    name.toLowerCase(),
    value,
  ]);
  const headers = new Map<string, string>([
    ...(given as [string, string][]),
    ['host', url.host],
    ['x-amz-content-sha256', sha256(body)],
    ['x-amz-date', stamp],
  ]);
  const names = [...headers.keys()].sort();
  const canonical = [
    request.method,
    path,
    query,
    ...names.map((name) => `${name}:${headers.get(name)?.trim() ?? ''}`),
    '',
    names.join(';'),
    sha256(body),
  ].join('\n');
  const scope = `${stamp.slice(0, 8)}/${signer.region}/s3/aws4_request`;
  const key = ['s3', 'aws4_request'].reduce(
    hmac,
    hmac(hmac(`AWS4${signer.secretAccessKey}`, stamp.slice(0, 8)), signer.region),
  );
  const signature = hmac(key, `AWS4-HMAC-SHA256\n${stamp}\n${scope}\n${sha256(canonical)}`);
  headers.delete('host'); // fetch writes it
  const answer = await fetch(query === '' ? url : `${url.href}?${query}`, {
    method: request.method,
    headers: {
      ...Object.fromEntries(headers),
      authorization:
        `AWS4-HMAC-SHA256 Credential=${signer.accessKeyId}/${scope}, ` +
        `SignedHeaders=${names.join(';')}, Signature=${signature.toString('hex')}`,
    },
    ...(body.length === 0 ? {} : { body }),
    signal: AbortSignal.timeout(60_000),
  });
  return { status: answer.status, headers: answer.headers, body: await answer.text() };
}
