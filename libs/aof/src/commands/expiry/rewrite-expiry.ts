import type { ByteSource } from '@tidemark/core';
import { DEFAULT_LIMITS } from '../../decoder/limits.ts';
import { asBuffer } from '../stages/as-buffer.ts';
import { ExpiryRewriter } from './expiry-rewriter.ts';
import { ExpiryRule, type ExpiryRuleOptions, type NewExpiry } from './new-expiry.ts';

const HOLD_BYTES_MAX = 8 * 1024 * 1024;

/** How expiries are rewritten. */
export interface RewriteExpiryOptions extends ExpiryRuleOptions {
  /**
   * Gives an absolute expiry (Unix milliseconds) its new value: the same number leaves the command
   * as it is, null removes the expiry. Pure; is asked more than once. A value below 1 counts as 1.
   */
  readonly newExpiry: NewExpiry;
  /** Told how many commands of a chunk have a relative time; they are left as they are. */
  readonly onRelative?: (commands: number) => void;
  /**
   * Puts `HPEXPIREAT key <year 4199> FIELDS ...` before every HPERSIST. Redis 7.4 to 8.6 ignore an
   * HPERSIST on a field whose time has passed, which in a replay it may have. Default false.
   */
  readonly guardFieldPersist?: boolean;
  /** Bytes of one unfinished command that are held back at most. Default 8 MiB. */
  readonly holdBytesMax?: number;
  /** Largest argument in bytes. Default 512 MiB. */
  readonly bulkBytesMax?: number;
}

/**
 * Passes a command log on with other expiry times; whatever does not carry one stays byte for byte.
 *
 * Rewritten: SET, MSETEX, HSETEX, GETEX and HGETEX with PXAT or EXAT; PEXPIREAT, EXPIREAT,
 * HPEXPIREAT, HEXPIREAT; RESTORE and RESTORE-ASKING with ABSTTL. Times in seconds become
 * milliseconds when they change. With `dropConditions` NX, XX, GT and LT are left out, whether the
 * time changes or not: only commands that took effect are logged, and a rule under which a later time
 * may become the earlier one would have them fail. A removed expiry makes PEXPIREAT a PERSIST, HPEXPIREAT an HPERSIST,
 * the TTL of RESTORE 0, and takes the option from the others. Offsets of the result are not those
 * of the source. Memory: `holdBytesMax` and a few chunks, whatever the size of a value; a SET,
 * MSETEX or RESTORE over that keeps its form and is followed by a PERSIST or PEXPIREAT if need be.
 * @throws FormatError `TM_AOF_PROTOCOL`, `TM_AOF_LIMIT`, `TM_AOF_TRUNCATED` as `CommandDecoder`;
 *   `TM_AOF_LIMIT` also for a command over `holdBytesMax` that cannot be rewritten in passing (its
 *   key alone is over it, or over 64 KiB in a larger command whose expiry needs a second command).
 * @throws UsageError `TM_USAGE` when `newExpiry` answers with no number.
 * @throws PlanError `TM_TTL_RANGE` when a field would get a time over `fieldExpiryMax`, `TM_TTL_FIELDS`
 *   for a condition on several fields in a log of Valkey (`logsUnmetFields`) when expiries are removed.
 */
export async function* rewriteCommandExpiry(
  source: ByteSource,
  options: RewriteExpiryOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const rewriter = new ExpiryRewriter({
    rule: new ExpiryRule(options.newExpiry, options),
    guardFieldPersist: options.guardFieldPersist ?? false,
    holdBytesMax: options.holdBytesMax ?? HOLD_BYTES_MAX,
    bulkBytesMax: options.bulkBytesMax ?? DEFAULT_LIMITS.bulkBytesMax,
  });
  for await (const chunk of source) {
    rewriter.push(asBuffer(chunk));
    const relative = rewriter.takeRelative();
    if (relative > 0) options.onRelative?.(relative);
    yield* rewriter.writer.take();
  }
  rewriter.end();
  yield* rewriter.writer.takeAll();
}
