import { TidemarkError, UsageError } from '@tidemark/core';
import type { TtlChoice } from '@tidemark/restorer';
import { parseDuration } from '@tidemark/workspace';
import { parseTime } from '../time.ts';

/**
 * Reads `--ttl`.
 * @param text - As it was written; undefined gives the default.
 * @param ofKeys - Whether keys are selected: then the default is `remaining`, else `absolute`.
 * @param nowMs - Unix milliseconds that `rebase:-15m` counts from.
 * @throws UsageError `TM_USAGE`; `TM_TIME_SYNTAX` for a time that is none.
 */
export function ttlOf(text: string | undefined, ofKeys: boolean, nowMs: number): TtlChoice {
  if (text === undefined) return { mode: ofKeys ? 'remaining' : 'absolute' };
  if (text === 'absolute' || text === 'remaining' || text === 'persist') return { mode: text };
  const [, mode, value = ''] = /^(rebase|shift):(.*)$/s.exec(text) ?? [];
  if (mode === 'rebase') return rebaseTo(value, nowMs);
  if (mode === 'shift') return { mode: 'shift', byMs: signedDuration(value) };
  throw new UsageError('TM_USAGE', `${JSON.stringify(text)} is no --ttl`, {
    hint: 'one of absolute, remaining, persist, rebase:2026-11-21T10:00:00Z, shift:+1h',
  });
}

/** `now` is the instant of the plan; any other time means the end of its second, as in `--at`. */
function rebaseTo(value: string, nowMs: number): TtlChoice {
  if (value === 'now') return { mode: 'remaining' };
  const time = parseTime(value, nowMs);
  if (time !== 'latest') return { mode: 'rebase', toMs: time.second * 1000 + 999 };
  throw new UsageError('TM_USAGE', '--ttl rebase needs a time, not latest', {
    hint: 'write rebase:now, rebase:2026-11-21T10:00:00Z, rebase:@1795255200 or rebase:-15m',
  });
}

function signedDuration(value: string): number {
  try {
    const size = parseDuration(value.replace(/^[+-]/, ''), '--ttl shift');
    return value.startsWith('-') ? 0 - size : size;
  } catch (cause) {
    if (!(cause instanceof TidemarkError)) throw cause;
    throw new UsageError('TM_USAGE', cause.message, {
      cause,
      hint: 'write shift:+1h, shift:-90m, shift:7d',
    });
  }
}

const MEANING: Readonly<Record<string, string>> = {
  absolute: 'expiry times as they were',
  remaining: 'what was left of a life at that point is left from now on',
  rebase: 'what was left of a life at that point is left from that time on',
  shift: 'every expiry time moved by the same',
  persist: 'expiry times dropped',
};

/** The line that says what became, or will become, of expiry times. */
export function ttlLine(ttl: string): string {
  const mode = ttl.split(':', 1)[0] ?? ttl;
  const dead = mode === 'absolute' ? '' : '; what had expired by then stays expired';
  return `ttl: ${ttl} (${MEANING[mode] ?? ''}${dead})`;
}
