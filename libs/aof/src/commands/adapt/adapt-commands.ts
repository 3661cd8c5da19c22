import type { ByteSource } from '@tidemark/core';
import type { CommandBatch } from '../../decoder/command-batch.ts';
import { asBuffer } from '../stages/as-buffer.ts';
import { CommandAdapter } from './command-adapter.ts';
import { rulesFor } from './rules-for.ts';
import type { RanAt } from './rules/relative-rules.ts';
import type { AdaptPayload } from './rules/server-rules.ts';
import type { LogWriter, TargetDialect } from './target-dialect.ts';

const HOLD_BYTES_MAX = 64 * 1024 * 1024;

/** How a command log is changed for a target. */
export interface AdaptCommandsOptions {
  readonly target: TargetDialect;
  /**
   * The server that wrote the log, if it is known: commands too large to be held pass where it lacks
   * the forms that would have to change.
   */
  readonly writer?: LogWriter;
  /** Changes payloads of RESTORE and FUNCTION RESTORE; default: they stay as they are. */
  readonly adaptPayload?: AdaptPayload;
  /**
   * Whether the target runs a command that no release has (a module's, or one that was renamed);
   * asked once for each name, in lower case. Default: they pass.
   */
  readonly knowsCommand?: (name: string) => Promise<boolean>;
  /**
   * When a command ran: for logs of Redis before 7.0, where times may be relative. They become the
   * times that were meant. Default: there are none.
   */
  readonly ranAt?: RanAt;
  /** Stream offset of the first byte, for errors. Default 0. */
  readonly offset?: bigint;
  /** Database selected there. Default 0. */
  readonly db?: number;
  /**
   * The offset that errors name and `ranAt` is asked with, for one of the stream: for a log of which
   * parts were left out. Default: the same.
   */
  readonly sourceOffset?: (offset: bigint) => bigint;
  /** Sees every command as the log has it, before its bytes go on. A batch is valid until then. */
  readonly onBatch?: (batch: CommandBatch) => void;
  /** Told the name, in lower case, of each command that does not go as it is. */
  readonly onChange?: (name: string) => void;
  /** Bytes of one unfinished command that are held back at most. Default 64 MiB. */
  readonly holdBytesMax?: number;
}

/**
 * Passes a command log on in the form that a target runs to the same end, or refuses by name.
 *
 * Only what is provably equal is changed: a log holds commands that took effect, and a replay meets
 * the same state, so that a condition of theirs holds again and can be left out, and an option that
 * the target lacks can be put into other commands. What has no effect on a dataset (PING, PUBLISH,
 * words between a master and its replicas) is left out. The same source and options give the same
 * bytes. Offsets of the result are not those of the source. Memory: a few chunks and one command.
 * @throws PlanError `TM_TARGET_COMMAND` for a command that the target cannot run,
 *   `TM_TARGET_DATABASES` for a database that it has not; `context.command` and `context.offset` name
 *   it. The commands before it may have been passed on; nothing that can run is passed on after it.
 * @throws FormatError as `CommandDecoder`; `TM_AOF_LIMIT` for a command over `holdBytesMax` that
 *   may have to change.
 * @see docs/formats/command-translation.md
 */
export async function* adaptCommands(
  source: ByteSource,
  options: AdaptCommandsOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const adapter = new CommandAdapter({
    dialect: options.target,
    rules: rulesFor(
      options.target,
      options.adaptPayload ?? null,
      options.ranAt ?? null,
      options.writer ?? null,
    ),
    offset: options.offset ?? 0n,
    db: options.db ?? 0,
    sourceOffset: options.sourceOffset ?? ((offset): bigint => offset),
    onBatch: options.onBatch ?? ((): void => undefined),
    onChange: options.onChange ?? ((): void => undefined),
    holdBytesMax: options.holdBytesMax ?? HOLD_BYTES_MAX,
  });
  for await (const chunk of source) {
    adapter.push(asBuffer(chunk));
    for (const unknown of adapter.takeUnknown()) {
      if ((await options.knowsCommand?.(unknown.name)) === false) adapter.refuseUnknown(unknown);
    }
    yield* adapter.writer.take();
  }
  adapter.end();
  yield* adapter.writer.takeAll();
}
