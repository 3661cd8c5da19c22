import { TidemarkError } from '@tidemark/core';

/** First bytes of every sealed object (docs/formats/sealed-container.md). */
const SEAL_MAGIC = Buffer.from('8b544445310d0a1a', 'hex');

/**
 * Passes the bytes of a file on, unless it is a sealed backup: that is opened nowhere but in a
 * restore, so that it is not looked into either.
 * @throws TidemarkError `TM_TDE_DENIED` at the first bytes; as the source.
 */
export async function* refuseSealed(
  path: string,
  source: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  let isFirst = true;
  for await (const chunk of source) {
    if (isFirst && chunk.subarray(0, SEAL_MAGIC.length).equals(SEAL_MAGIC)) {
      throw new TidemarkError(
        'TM_TDE_DENIED',
        `${path} is a sealed backup and is not looked into`,
        {
          context: { operation: 'offline-analysis', path },
          hint: 'it opens only where it is restored; tidemark history, find, diff and preview tell of its keys without their values',
        },
      );
    }
    isFirst = false;
    yield chunk;
  }
}
