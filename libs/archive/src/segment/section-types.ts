/** Types of the sections of a segment; the numbers are the format's. */
export const SEGMENT_SECTION = {
  head: 1,
  frames: 2,
  marks: 3,
  stats: 4,
  /** The list of keys; a segment has this, or a filter, or neither. */
  keys: 5,
  filter: 6,
  flow: 7,
  /** Reserved: per listed key, the last command that wholly overwrites it. Not written yet. */
  lastOverwrite: 8,
} as const;
