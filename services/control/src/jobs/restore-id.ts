/** Id of the restore that an attempt of a job begins; found again by the job where all else is lost. */
export function restoreIdOf(job: string, round: number): string {
  return `rs-${job.slice('job-'.length)}-${round.toString()}`;
}
