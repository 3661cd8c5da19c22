/** A phase is a word that the code chose; whatever else comes is one label, so that there is an end to them. */
const PHASE = /^[a-z][a-z-]{0,31}$/;
const PHASES_MAX = 64;
const known = new Set<string>();

/** The label of a phase of a job. */
export function phaseLabel(phase: string): string {
  if (known.has(phase)) return phase;
  if (!PHASE.test(phase) || known.size >= PHASES_MAX) return 'other';
  known.add(phase);
  return phase;
}
