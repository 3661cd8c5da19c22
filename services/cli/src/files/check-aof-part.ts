import { AofLogCheck, type AofLogFacts } from '@tidemark/aof';
import { FormatError, TidemarkError, type ErrorCode } from '@tidemark/core';
import { RdbChecker } from '@tidemark/rdb';
import type { Invocation } from '../invocation.ts';
import type { AofPart } from './aof-folder.ts';
import { readInput } from './input-file.ts';

/** In what state a file was found. */
export type PartState =
  'whole' | 'empty' | 'torn' | 'open-multi' | 'garbage' | 'damaged-rdb' | 'missing';

/** Where a file is wrong. */
export interface PartFault {
  readonly code: ErrorCode;
  readonly message: string;
  /** Position in the file; null when it has none. */
  readonly offset: number | null;
}

/** What a file of an AOF holds. */
export interface PartReport {
  readonly part: AofPart;
  readonly state: PartState;
  /** Bytes of the file. */
  readonly bytes: number;
  /** Bytes of the RDB that it is or begins with. */
  readonly rdbBytes: number;
  readonly rdbKeys: number;
  /** The commands, null where there are none to be. */
  readonly log: AofLogFacts | null;
  readonly fault: PartFault | null;
}

const NOTHING = { bytes: 0, rdbBytes: 0, rdbKeys: 0, log: null, fault: null };

/** `R` or `V`: the first byte of an RDB; a log begins with `*` or `#`. */
const isRdbStart = (byte: number | undefined): boolean => byte === 0x52 || byte === 0x56;

/** Checks one file: an RDB, commands, or commands behind an RDB. */
export async function checkAofPart(part: AofPart, invocation: Invocation): Promise<PartReport> {
  if (!part.present) {
    const message = `${part.name}, which the manifest names, is missing`;
    const fault: PartFault = { code: 'TM_AOF_MISSING', message, offset: null };
    return { ...NOTHING, part, state: 'missing', fault };
  }
  const walk = new AofPartWalk();
  for await (const chunk of readInput(part.path, invocation)) walk.push(chunk);
  return { part, ...walk.end() };
}

/** Follows a file of an AOF from its first byte to its last. */
export class AofPartWalk {
  #bytes = 0;
  #rdb: RdbChecker | null = null;
  /** Bytes of the RDB, -1 while its end has not come. */
  #rdbBytes = -1;
  #rdbKeys = 0;
  #log: AofLogCheck | null = null;
  #fault: PartFault | null = null;

  push(chunk: Buffer): void {
    if (this.#bytes === 0 && isRdbStart(chunk[0])) {
      this.#rdb = new RdbChecker({
        onBatch: ({ count, type }) => {
          for (let row = 0; row < count; row += 1)
            if ((type[row] as number) < 0xf2) this.#rdbKeys += 1;
        },
      });
    }
    const base = this.#bytes;
    this.#bytes += chunk.length;
    if (this.#fault !== null) return;
    const from =
      this.#rdb !== null && this.#rdbBytes < 0 ? this.#pushRdb(this.#rdb, chunk, base) : 0;
    if (from === chunk.length) return;
    this.#log ??= new AofLogCheck(base + from);
    this.#log.push(chunk.subarray(from));
  }

  /** @returns Position in the chunk from which on commands stand. */
  #pushRdb(rdb: RdbChecker, chunk: Buffer, base: number): number {
    try {
      rdb.push(chunk);
      return chunk.length;
    } catch (error) {
      if (!(error instanceof TidemarkError)) throw error;
      const offset = Number(error.context['offset']);
      if (error.code !== 'TM_RDB_TRAILING') {
        this.#fault = faultOf(error);
        return chunk.length;
      }
      this.#rdbBytes = offset;
      return offset - base;
    }
  }

  end(): Omit<PartReport, 'part'> {
    if (this.#rdb !== null && this.#rdbBytes < 0 && this.#fault === null) {
      try {
        this.#rdb.end();
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        this.#fault = faultOf(error);
      }
      this.#rdbBytes = this.#bytes;
    }
    const log = this.#log?.end() ?? null;
    const fault = this.#fault ?? log?.fault ?? null;
    let state: PartState = this.#bytes === 0 ? 'empty' : 'whole';
    if (this.#fault !== null) state = 'damaged-rdb';
    else if (log?.fault) state = log.fault.kind;
    return {
      ...{ state, bytes: this.#bytes, rdbBytes: Math.max(this.#rdbBytes, 0) },
      ...{ rdbKeys: this.#rdbKeys, log },
      fault:
        fault === null ? null : { code: fault.code, message: fault.message, offset: fault.offset },
    };
  }
}

function faultOf({ code, message, context }: TidemarkError): PartFault {
  return { code, message, offset: Number(context['offset']) };
}
