/** Commands that are left out of a replay: those that start at these offsets, both included. */
export interface SkipRange {
  readonly from: bigint;
  readonly to: bigint;
}

/** A range in a record. */
export interface SkipJson {
  readonly from: string;
  readonly to: string;
}

/** A range as a record holds it. */
export function skipToJson(skip: SkipRange | null): SkipJson | null {
  return skip && { from: skip.from.toString(), to: skip.to.toString() };
}

/** A range from a record. */
export function skipFromJson(json: SkipJson | null): SkipRange | null {
  return json && { from: BigInt(json.from), to: BigInt(json.to) };
}

/** Whether the command at an offset is left out. */
export function isSkipped(skip: SkipRange | null, offset: number): boolean {
  return skip !== null && offset >= Number(skip.from) && offset <= Number(skip.to);
}
