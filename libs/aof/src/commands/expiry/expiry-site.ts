import type { ArgumentColumns } from '../../decoder/command-batch.ts';
import { argumentInteger, argumentIs, keyword } from '../arguments.ts';
import { COMMANDS } from '../command-table.ts';

/** How a command carries an expiry. */
export const EXPIRY_KIND = {
  none: 0,
  /** `PEXPIREAT key time [NX|XX|GT|LT]` */
  keyTime: 1,
  /** `SET key value ... [PXAT time]` */
  set: 2,
  /** `MSETEX n key value ... [PXAT time]` */
  mSetEx: 3,
  /** `GETEX key [PXAT time | PERSIST]` */
  getEx: 4,
  /** `RESTORE key time payload ... [ABSTTL]` */
  restore: 5,
  /** `HPEXPIREAT key time [NX|XX|GT|LT] FIELDS n field ...` */
  fieldTime: 6,
  /** `HSETEX key ... [PXAT time] FIELDS n field value ...` */
  hSetEx: 7,
  /** `HGETEX key [PXAT time | PERSIST] FIELDS n field ...` */
  hGetEx: 8,
  /** `HPERSIST key FIELDS n field ...` */
  fieldPersist: 9,
  /** A command whose time is always relative to when it ran. */
  relative: 10,
} as const;
export type ExpiryKind = (typeof EXPIRY_KIND)[keyof typeof EXPIRY_KIND];

/**
 * The TransformTable: where times stand in each command that can set one. Sources: argument
 * parsing of redis src/t_string.c, expire.c, t_hash.c, cluster.c (8.x) and valkey 9.
 */
const KIND_OF_NAME = new Map<string, { kind: ExpiryKind; seconds: boolean }>([
  ['pexpireat', { kind: EXPIRY_KIND.keyTime, seconds: false }],
  ['expireat', { kind: EXPIRY_KIND.keyTime, seconds: true }],
  ['set', { kind: EXPIRY_KIND.set, seconds: false }],
  ['msetex', { kind: EXPIRY_KIND.mSetEx, seconds: false }],
  ['getex', { kind: EXPIRY_KIND.getEx, seconds: false }],
  ['restore', { kind: EXPIRY_KIND.restore, seconds: false }],
  ['restore-asking', { kind: EXPIRY_KIND.restore, seconds: false }],
  ['hpexpireat', { kind: EXPIRY_KIND.fieldTime, seconds: false }],
  ['hexpireat', { kind: EXPIRY_KIND.fieldTime, seconds: true }],
  ['hsetex', { kind: EXPIRY_KIND.hSetEx, seconds: false }],
  ['hgetex', { kind: EXPIRY_KIND.hGetEx, seconds: false }],
  ['hpersist', { kind: EXPIRY_KIND.fieldPersist, seconds: false }],
  ['expire', { kind: EXPIRY_KIND.relative, seconds: true }],
  ['pexpire', { kind: EXPIRY_KIND.relative, seconds: false }],
  ['setex', { kind: EXPIRY_KIND.relative, seconds: true }],
  ['psetex', { kind: EXPIRY_KIND.relative, seconds: false }],
  ['hexpire', { kind: EXPIRY_KIND.relative, seconds: true }],
  ['hpexpire', { kind: EXPIRY_KIND.relative, seconds: false }],
]);

const SECONDS_OF_SPEC = Uint8Array.from(COMMANDS, ({ name }) =>
  KIND_OF_NAME.get(name)?.seconds === true ? 1 : 0,
);

/** The {@link EXPIRY_KIND} of every command in `COMMANDS`. */
export const EXPIRY_KIND_OF_SPEC = Uint8Array.from(
  COMMANDS,
  ({ name }) => KIND_OF_NAME.get(name)?.kind ?? EXPIRY_KIND.none,
);

const PXAT = keyword('pxat');
const EXAT = keyword('exat');
const PX = keyword('px');
const EX = keyword('ex');
const XX = keyword('xx');
const OTHER_CONDITIONS = ['nx', 'gt', 'lt'].map(keyword);
const ABSTTL = keyword('absttl');
const FIELDS = keyword('fields');
/** Options of SET that take an operand, which may look like any option. */
const WITH_OPERAND = ['ifeq', 'ifne', 'ifdeq', 'ifdne'].map(keyword);
const MS_IN_SECOND = 1000;

/** Where the expiry of one command stands. One object is used for many commands. */
export class ExpirySite {
  kind: ExpiryKind = EXPIRY_KIND.none;
  /** Argument that holds the time. */
  timeArg = 0;
  /** Argument that names the option (PXAT, EXAT, ABSTTL), 0 if the command has none. */
  optionArg = 0;
  /** Whether the time is in seconds. */
  seconds = false;
  /** Whether it counts from when the command ran: then it cannot be told what time it means. */
  relative = false;
  /** Unix milliseconds (or milliseconds when relative). */
  timeMs = 0;
  /** Argument that holds XX, 0 if there is none. */
  conditionXxArg = 0;
  /** Argument after the last of NX, XX, GT, LT, which follow the time; 0 if there is none. */
  conditionsEnd = 0;
  /** Argument FIELDS of a hash command, 0 if there is none among those looked at. */
  fieldsArg = 0;
  /** How many fields HPEXPIREAT or HEXPIREAT names; 0 for other commands. */
  fieldCount = 0;

  /**
   * Looks at the first `argc` arguments of a command, from row `at` of the columns on.
   * @returns Whether they set an expiry, absolute or relative.
   */
  find(columns: ArgumentColumns, at: number, argc: number, spec: number): boolean {
    this.kind = (EXPIRY_KIND_OF_SPEC[spec] ?? EXPIRY_KIND.none) as ExpiryKind;
    this.timeArg = 0;
    this.optionArg = 0;
    this.relative = false;
    this.conditionXxArg = 0;
    this.conditionsEnd = 0;
    this.fieldsArg = 0;
    this.fieldCount = 0;
    this.seconds = SECONDS_OF_SPEC[spec] === 1;
    switch (this.kind) {
      case EXPIRY_KIND.none:
      case EXPIRY_KIND.fieldPersist:
        return false;
      case EXPIRY_KIND.relative:
        this.relative = true;
        return true;
      case EXPIRY_KIND.keyTime:
      case EXPIRY_KIND.fieldTime:
        this.timeArg = argc > 2 ? 2 : 0;
        this.findCondition(columns, at, argc);
        break;
      case EXPIRY_KIND.restore:
        this.findRestore(columns, at, argc);
        break;
      case EXPIRY_KIND.set:
        this.findOption(columns, at, 3, argc);
        break;
      case EXPIRY_KIND.mSetEx:
        this.findOption(columns, at, mSetExOptions(columns, at, argc), argc);
        break;
      case EXPIRY_KIND.getEx:
      case EXPIRY_KIND.hSetEx:
      case EXPIRY_KIND.hGetEx:
        this.findOption(columns, at, 2, argc);
        break;
    }
    return this.readTime(columns, at);
  }

  private readTime(columns: ArgumentColumns, at: number): boolean {
    if (this.timeArg === 0) return false;
    const time = argumentInteger(columns, at + this.timeArg);
    this.timeMs = this.seconds ? time * MS_IN_SECOND : time;
    return this.timeMs > 0;
  }

  private findCondition(columns: ArgumentColumns, at: number, argc: number): void {
    for (let index = 3; index < argc; index += 1) {
      if (this.kind === EXPIRY_KIND.fieldTime && argumentIs(columns, at + index, FIELDS)) {
        this.fieldsArg = index;
        this.fieldCount = index + 1 < argc ? argumentInteger(columns, at + index + 1) : 0;
        return;
      }
      const isXx = argumentIs(columns, at + index, XX);
      if (isXx) this.conditionXxArg = index;
      const condition =
        isXx || OTHER_CONDITIONS.some((one) => argumentIs(columns, at + index, one));
      // What stands behind anything else is not the server's.
      if (condition && Math.max(this.conditionsEnd, 3) === index) this.conditionsEnd = index + 1;
    }
  }

  private findRestore(columns: ArgumentColumns, at: number, argc: number): void {
    this.timeArg = argc > 2 ? 2 : 0;
    for (let index = 4; index < argc; index += 1) {
      if (argumentIs(columns, at + index, ABSTTL)) this.optionArg = index;
    }
    this.relative = this.optionArg === 0;
  }

  private findOption(columns: ArgumentColumns, at: number, first: number, argc: number): void {
    const inHash = this.kind === EXPIRY_KIND.hSetEx || this.kind === EXPIRY_KIND.hGetEx;
    for (let index = first; index < argc; index += 1) {
      const row = at + index;
      if (inHash && this.fieldsArg === 0 && argumentIs(columns, row, FIELDS)) {
        this.fieldsArg = index;
        const fields = index + 1 < argc ? argumentInteger(columns, row + 1) : Number.NaN;
        const width = this.kind === EXPIRY_KIND.hSetEx ? 2 : 1;
        index += 1 + (fields > 0 ? fields * width : 0);
      } else if (WITH_OPERAND.some((option) => argumentIs(columns, row, option))) {
        index += 1;
      } else if (index + 1 < argc && this.isTimeOption(columns, row)) {
        this.optionArg = index;
        this.timeArg = index + 1;
        index += 1;
      }
    }
  }

  private isTimeOption(columns: ArgumentColumns, row: number): boolean {
    const pxAt = argumentIs(columns, row, PXAT);
    const exAt = !pxAt && argumentIs(columns, row, EXAT);
    const px = !pxAt && !exAt && argumentIs(columns, row, PX);
    const ex = !pxAt && !exAt && !px && argumentIs(columns, row, EX);
    if (!pxAt && !exAt && !px && !ex) return false;
    this.seconds = exAt || ex;
    this.relative = px || ex;
    return true;
  }
}

/** First argument of `MSETEX n key value ...` that is an option; past the end if `n` is wrong. */
export function mSetExOptions(columns: ArgumentColumns, at: number, argc: number): number {
  const count = argc > 1 ? argumentInteger(columns, at + 1) : Number.NaN;
  return count >= 1 ? 2 + count * 2 : argc;
}

/** Whether a command of this kind sets the expiry of fields, not of a key. */
export function isOfFields(kind: number): boolean {
  return (
    kind === EXPIRY_KIND.fieldTime || kind === EXPIRY_KIND.hSetEx || kind === EXPIRY_KIND.hGetEx
  );
}
