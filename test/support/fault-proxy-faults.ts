/** An answer of the real server, read whole, that a test may change. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/**
 * What goes wrong with one request. `apply` says whether the real server gets the request before it
 * goes wrong: then it was done, and the client does not know.
 */
export type Fault =
  /** Answers this instead of the server. */
  | { readonly kind: 'answer'; readonly answer: Answer; readonly apply: boolean }
  /** Waits, then passes the answer on, at no more than so many bytes a second. */
  | { readonly kind: 'slow'; readonly delayMs?: number; readonly bytesPerSecond?: number }
  /** Passes half of the answer's body on, then cuts the connection. */
  | { readonly kind: 'half' }
  /** Half of the answer's body as if it were all: its length says so too. */
  | { readonly kind: 'short' }
  /** Passes half of the request's body to the server, then cuts both connections. */
  | { readonly kind: 'half-request' }
  /** Cuts the connection without an answer. */
  | { readonly kind: 'reset'; readonly apply: boolean }
  /** Never answers; the client has to give up. */
  | { readonly kind: 'silent'; readonly apply: boolean }
  /** Sends the request twice and passes the second answer on. */
  | { readonly kind: 'duplicate' }
  /** Passes on what `edit` makes of the server's answer. */
  | { readonly kind: 'edit'; readonly edit: (answer: Answer) => Answer };

/** An error of S3 as XML. With status 200 it is one that came after the headers had been sent. */
export function s3Error(
  status: number,
  code: string,
  { apply = false, message = 'made by a test' } = {},
): Fault {
  const body = Buffer.from(
    `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message>` +
      '<RequestId>0</RequestId></Error>',
  );
  const headers = { 'content-type': 'application/xml' };
  return { kind: 'answer', apply, answer: { status, headers, body } };
}

/** An error of KMS as JSON: 400 for what the caller is to blame for, 500 for what the service is. */
export function kmsError(type: string, { status = 400, apply = false } = {}): Fault {
  const body = Buffer.from(JSON.stringify({ __type: type, message: 'made by a test' }));
  const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-errortype': type };
  return { kind: 'answer', apply, answer: { status, headers, body } };
}

/** The answer of a server that ignores `?versions`: an ordinary listing of the same objects. */
export function ignoredVersions(): Fault {
  return {
    kind: 'edit',
    edit: (answer) => {
      const body = answer.body
        .toString('utf8')
        .replaceAll(/<VersionId>[^<]*<\/VersionId>|<IsLatest>[^<]*<\/IsLatest>/g, '')
        .replaceAll('ListVersionsResult', 'ListBucketResult')
        .replaceAll(/<(\/?)Version>/g, '<$1Contents>');
      return { ...answer, body: Buffer.from(body) };
    },
  };
}

/** Changes fields of a JSON answer, as `{ KeyId: 'another' }`. */
export function editJson(fields: Readonly<Record<string, unknown>>): Fault {
  return {
    kind: 'edit',
    edit: (answer) => {
      const whole = JSON.parse(answer.body.toString('utf8')) as Record<string, unknown>;
      return { ...answer, body: Buffer.from(JSON.stringify({ ...whole, ...fields })) };
    },
  };
}

/** The bytes after those that were asked for by a range, and a header that says so. */
export function wrongRange(): Fault {
  return {
    kind: 'edit',
    edit: (answer) => {
      const range = /^bytes (\d+)-(\d+)\/(.+)$/.exec(answer.headers['content-range'] ?? '');
      if (range === null) return answer;
      const [, from, to, size = '*'] = range;
      const moved = `bytes ${Number(from) + 1}-${Number(to) + 1}/${size}`;
      const body = Buffer.concat([answer.body.subarray(1), Buffer.from([0])]);
      return { ...answer, headers: { ...answer.headers, 'content-range': moved }, body };
    },
  };
}

/** A server that knows no ranges: says 200 and no range. */
export function ignoredRange(): Fault {
  return {
    kind: 'edit',
    edit: ({ headers, body }) => {
      const rest = Object.entries(headers).filter(([name]) => name !== 'content-range');
      return { status: 200, headers: Object.fromEntries(rest), body };
    },
  };
}
