import { type ByteSource, FormatError } from '@tidemark/core';
import { planType, type ReadersOf } from '../decode/conversions.ts';
import { keepFieldExpiry, type NewFieldExpiry } from '../decode/field-expiry.ts';
import { type ConvertValue, ValueConverter } from '../decode/value-converter.ts';
import { type RdbProduct, typeVersion, VERSION_KEY_META } from '../format/types.ts';
import type { Steps } from '../scan/cursor.ts';
import { type Layout, layoutsOf } from '../scan/layout.ts';
import { passValue } from '../scan/values.ts';
import { pieces } from '../stages/pieces.ts';
import { RdbOutput } from '../stages/rdb-output.ts';
import { readDumpPayload } from './read-dump.ts';

/** Bounds what one large chunk makes of output before it is handed on. */
const PIECE_BYTES = 1024 * 1024;

/** What stands before a value in an RDB. */
export interface DumpEntry {
  /** Whose numbering `type` follows: the product of the RDB it comes from. */
  readonly product: RdbProduct;
  readonly type: number;
  /** A KEY_META block with its opcode, to be kept; without it the key has none. */
  readonly keyMeta?: Uint8Array;
}

/** For whom a payload is, and what changes in it. */
export interface DumpOptions extends ReadersOf {
  /** New expiry of a field that has one (Unix milliseconds); null takes it away. */
  readonly newExpiry?: NewFieldExpiry;
}

const copied = (type: number, layout: Layout): ConvertValue =>
  function* copy(cursor): Steps<void> {
    cursor.copy();
    yield* passValue(cursor, type, layout, () => undefined);
    cursor.stop();
  };

function refused(
  reason: string,
  context: { readonly type: number; readonly needed: number },
): Error {
  return new FormatError('TM_RDB_REWRITE', reason, { context });
}

interface Beginning {
  readonly output: RdbOutput;
  readonly converter: ValueConverter;
  /** What the footer says. */
  readonly version: number;
}

/** Writes what stands before the value. */
function begin(entry: DumpEntry, options: DumpOptions): Beginning {
  const { product, type, keyMeta } = entry;
  const plan = planType(product, type, options, options.newExpiry !== undefined);
  if (plan.kind === 'refuse') {
    const { needed } = plan;
    throw refused(`${plan.reason}, the target reads ${options.version}`, { type, needed });
  }
  const layout = layoutsOf(product)[type];
  if (layout === undefined) throw refused(`type ${type} is not read`, { type, needed: 0 });
  const output = new RdbOutput();
  let version = typeVersion(options.product, plan.type);
  if (keyMeta !== undefined) {
    if (options.product !== 'redis' || options.version < VERSION_KEY_META) {
      const reason = 'the target has no metadata of keys';
      throw refused(reason, { type, needed: VERSION_KEY_META });
    }
    output.write(keyMeta);
    version = Math.max(version, VERSION_KEY_META);
  }
  output.write(Buffer.of(plan.type));
  const convert =
    plan.kind === 'copy'
      ? copied(type, layout)
      : plan.convert(options.newExpiry ?? keepFieldExpiry);
  return { output, converter: new ValueConverter(convert, output, 0), version };
}

function end({ output, converter, version }: Beginning): readonly Uint8Array[] {
  converter.end();
  output.write(Buffer.of(version & 0xff, version >> 8));
  output.writeChecksum();
  return output.take(true);
}

/**
 * A payload for RESTORE from the bytes of a value as they stand in an RDB.
 *
 * Its footer names the lowest RDB version that has the type, so that every server takes it that knows
 * the type; a value that the target does not know is converted as in `rewriteRdb`. The checksum comes
 * only after a value that is whole. Memory as in `rewriteRdb`.
 * @param value - The value alone, without type and key.
 * @param options - Product and highest RDB version of the server that will read it.
 * @throws FormatError `TM_RDB_REWRITE` when the target has no form for the value, before it is read;
 *   `TM_RDB_TRUNCATED`, `TM_RDB_TRAILING` and what values give, with the offset in the value.
 */
export async function* dumpPayload(
  entry: DumpEntry,
  value: ByteSource,
  options: DumpOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const beginning = begin(entry, options);
  for await (const chunk of value) {
    for (const piece of pieces(chunk, PIECE_BYTES)) {
      beginning.converter.push(piece);
      yield* beginning.output.take();
    }
  }
  yield* end(beginning);
}

/**
 * A payload of one server as another one takes it, whole in memory: for RESTORE commands in a log.
 * KEY_META stays where the target has it and is refused elsewhere.
 * @throws What `readDumpPayload` and `dumpPayload` throw.
 */
export function adaptDumpPayload(payload: Uint8Array, options: DumpOptions): Buffer {
  const { product, type, keyMeta, valueStart, valueEnd } = readDumpPayload(payload);
  const meta = keyMeta === null ? {} : { keyMeta: payload.subarray(keyMeta.start, keyMeta.end) };
  const beginning = begin({ product, type, ...meta }, options);
  beginning.converter.push(payload.subarray(valueStart, valueEnd));
  const taken = [...beginning.output.take()];
  return Buffer.concat([...taken, ...end(beginning)]);
}
