import { jobDocument, openControl, type Control, type Job, type JobOrder } from '@tidemark/control';
import type { Logger } from '@tidemark/archiver';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Invocation } from '../invocation.ts';
import { cliActor } from './cli-actor.ts';
import { endAs } from './job.ts';

/** The control plane of this host, for one command. */
export async function controlOf({ configPath, printer }: Invocation): Promise<Control> {
  const ports = { clock: systemClock, random: systemRandom, logger: loggerOf(printer) };
  return openControl({ configPath, ...ports });
}

/** What a service logs in passing is the progress of a command here. */
function loggerOf(printer: Invocation['printer']): Logger {
  const textOf = (message: string, fields: Parameters<Logger['warn']>[1]): string =>
    String(fields?.['error'] ?? fields?.['line'] ?? message);
  const warn: Logger['warn'] = (message, fields) => printer.warn(textOf(message, fields));
  const error: Logger['error'] = (message, fields) => {
    if (message !== 'job-line') {
      warn(message, fields);
      return;
    }
    // One of them is what the command will end with: it is not said twice.
    const lines = FAULTS.get(printer) ?? [];
    FAULTS.set(printer, [...lines, textOf(message, fields)]);
  };
  const logger: Logger = { info: () => undefined, warn, error, child: () => logger };
  return logger;
}

/** Lines about faults of a job, until it is known which of them ended it. */
const FAULTS = new WeakMap<Invocation['printer'], readonly string[]>();

function warnOfFaults(printer: Invocation['printer'], problem: Job['problem']): void {
  const last = problem === null ? null : `${problem.message} (${problem.code})`;
  for (const line of FAULTS.get(printer) ?? []) if (line !== last) printer.warn(line);
  FAULTS.delete(printer);
}

/** A job as a command asks for it. */
export interface AskedJob extends Omit<JobOrder, 'actor'> {
  /** Leave it to a worker that runs. */
  readonly detach: boolean;
}

/**
 * Submits a job and works it off here, unless another worker of the host was faster; Ctrl-C cancels it and
 * waits until what it began is taken back.
 */
export async function runJob(
  asked: AskedJob,
  control: Control,
  invocation: Invocation,
  textOf: (job: Job) => readonly string[],
): Promise<void> {
  const { printer, signal } = invocation;
  const { kind, instance, request, detach } = asked;
  signal.throwIfAborted();
  const { id } = await control.jobs.submit({ kind, instance, request, actor: cliActor() });
  // To ask for it takes its time, too; what has ended since is told as it is.
  if (signal.aborted) await control.jobs.cancel(id, cliActor()).catch(() => undefined);
  if (detach) {
    const job = control.jobs.get(id);
    printer.result(jobDocument(job), () => [`${id} waits for a worker: tidemark job watch ${id}`]);
    return;
  }
  const over = new AbortController();
  const working = control.run(over.signal, { workers: true, scheduler: false });
  working.catch(() => undefined);
  const cancel = (): void => {
    printer.progress(`${id}: is called off`);
    control.jobs.cancel(id, cliActor()).catch(() => undefined);
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    let told = '';
    for await (const { job } of control.jobs.follow(id, 0, over.signal)) {
      const { phase, percent } = job.progress;
      const line = `${id}: ${job.state}, ${phase} ${percent.toFixed(1)} %`;
      if (line !== told) printer.progress(line);
      told = line;
    }
  } finally {
    signal.removeEventListener('abort', cancel);
    over.abort(new Error('the command is over'));
    await working.catch(() => undefined);
  }
  const job = control.jobs.get(id);
  warnOfFaults(printer, job.problem);
  if (job.state === 'succeeded' || job.state === 'partial') {
    printer.result(jobDocument(job), () => textOf(job));
  }
  endAs(job);
}
