/** Commands that are left out of a replay: those that start at these offsets, both included. */
export interface SkipRange {
  readonly from: bigint;
  readonly to: bigint;
}

/** Whether the command at an offset is left out. */
export function isSkipped(skip: SkipRange | null, offset: number): boolean {
  return skip !== null && offset >= Number(skip.from) && offset <= Number(skip.to);
}
