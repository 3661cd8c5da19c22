import { FormatError, UsageError, type ByteSource } from '@tidemark/core';

/**
 * Passes on the bytes `[from, to)` of a stream: slices, nothing is decoded or copied. The source is
 * not read further than `to`.
 *
 * @param start - Offset of the first byte of the source, in the same count as `from` and `to`.
 * @throws UsageError `TM_USAGE` unless `start \<= from \<= to`.
 * @throws FormatError `TM_AOF_TRUNCATED` when the source ends before `to`; `offset` is its end.
 */
export async function* cutCommands(
  source: ByteSource,
  from: bigint,
  to: bigint,
  start = 0n,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (from < start || to < from) {
    throw new UsageError('TM_USAGE', 'a range that does not lie in the stream', {
      context: { from, to, start },
    });
  }
  let offset = start;
  if (offset === to) return;
  for await (const chunk of source) {
    const first = from > offset ? from - offset : 0n;
    const last = to - offset;
    const length = BigInt(chunk.length);
    offset += length;
    if (first < length) {
      const whole = first === 0n && last >= length;
      yield whole ? chunk : chunk.subarray(Number(first), Number(last < length ? last : length));
    }
    if (offset >= to) return;
  }
  throw new FormatError('TM_AOF_TRUNCATED', 'the log ends before the wanted range does', {
    context: { offset, to },
  });
}
