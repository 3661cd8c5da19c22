import type { ByteSource } from '@tidemark/core';
import type { CommandBatch } from '../../decoder/command-batch.ts';
import { CommandDecoder, type CommandDecoderOptions } from '../../decoder/command-decoder.ts';
import { asBuffer } from './as-buffer.ts';

/** How a log is watched. */
export interface TapCommandsOptions extends CommandDecoderOptions {
  /** Whether the log may end within a command, as a segment may. Default false. */
  readonly partialEnd?: boolean;
}

/**
 * Passes a command log on, the same bytes, and shows each batch of commands before the chunk that
 * ended them goes on.
 *
 * @param onBatch - Called with batches in order; one is valid until `onBatch` returns.
 * @throws FormatError as `CommandDecoder`; `TM_AOF_TRUNCATED` at the end unless `partialEnd`.
 */
export async function* tapCommands(
  source: ByteSource,
  onBatch: (batch: CommandBatch) => void,
  options: TapCommandsOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const decoder = new CommandDecoder(options);
  for await (const chunk of source) {
    for (const batch of decoder.push(asBuffer(chunk))) onBatch(batch);
    yield chunk;
  }
  if (options.partialEnd !== true) decoder.end();
}
