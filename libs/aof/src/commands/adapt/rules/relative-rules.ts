import { encodeCommand } from '../../raw/raw-command.ts';
import type { CommandView, Part } from '../command-view.ts';
import { Refusal, type Outcome, type Rule } from '../rule.ts';

/**
 * When the command at a stream offset ran, Unix milliseconds, as well as that is known; null = not
 * at all.
 */
export type RanAt = (offset: bigint) => number | null;

const MS_IN_SECOND = 1000;
const UNKNOWN = new Refusal('its time counts from when it ran, and nothing tells when that was');
const NO_NUMBER = new Refusal('its time is no number');

/**
 * The rules for times that count from when the command ran: logs of Redis before 7.0 hold them. A
 * replay would count from its own time; so they become the time that was meant. PEXPIREAT is used,
 * which every server knows.
 */
export function relativeRules(ranAt: RanAt): ReadonlyMap<string, Rule> {
  return new Map<string, Rule>([
    ['expire', { decide: (command) => expire(command, MS_IN_SECOND, ranAt) }],
    ['pexpire', { decide: (command) => expire(command, 1, ranAt) }],
    ['setex', { decide: (command) => setWithTime(command, MS_IN_SECOND, ranAt) }],
    ['psetex', { decide: (command) => setWithTime(command, 1, ranAt) }],
    [
      'set',
      {
        passes: (_columns, _at, argc) => argc < 5,
        decide: (command) => setWithOption(command, ranAt),
      },
    ],
  ]);
}

/** The time that a relative one means, or why it cannot be told. */
function meant(
  command: CommandView,
  index: number,
  unitMs: number,
  ranAt: RanAt,
): string | Refusal {
  const time = command.integer(index);
  if (!Number.isSafeInteger(time)) return NO_NUMBER;
  const ranMs = ranAt(command.offset);
  return ranMs === null ? UNKNOWN : String(ranMs + time * unitMs);
}

/** `EXPIRE key time [NX|XX|GT|LT]`: only one that took effect is logged. */
function expire(command: CommandView, unitMs: number, ranAt: RanAt): Outcome {
  const time = meant(command, 2, unitMs, ranAt);
  return time instanceof Refusal ? time : [command.build('PEXPIREAT', [1, 2], time)];
}

/** `SETEX key time value`. */
function setWithTime(command: CommandView, unitMs: number, ranAt: RanAt): Outcome {
  if (command.argc !== 4) return new Refusal('it is not well formed');
  const time = meant(command, 2, unitMs, ranAt);
  if (time instanceof Refusal) return time;
  return [
    command.build('SET', [1, 2], [3, 4]),
    encodeCommand('PEXPIREAT', command.content(1), time),
  ];
}

/** `SET key value ... EX|PX time`. */
function setWithOption(command: CommandView, ranAt: RanAt): Outcome {
  for (let index = 3; index + 1 < command.argc; index += 1) {
    const option = command.text(index);
    if (option !== 'ex' && option !== 'px') continue;
    const time = meant(command, index + 1, option === 'ex' ? MS_IN_SECOND : 1, ranAt);
    if (time instanceof Refusal) return time;
    const parts: Part[] = [
      [0, index],
      [index + 2, command.argc],
    ];
    return [command.build(...parts), encodeCommand('PEXPIREAT', command.content(1), time)];
  }
  return null;
}

/** The time that the TTL of a RESTORE means; null when it is a time already, or there is none. */
export function restoreTime(command: CommandView, ranAt: RanAt): string | Refusal | null {
  if (command.integer(2) === 0) return null;
  for (let index = 4; index < command.argc; index += 1) {
    if (command.text(index) === 'absttl') return null;
  }
  return meant(command, 2, 1, ranAt);
}
