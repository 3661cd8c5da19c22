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
  const warn: Logger['warn'] = (message, fields) =>
    printer.warn(String(fields?.['error'] ?? fields?.['line'] ?? message));
  const logger: Logger = { info: () => undefined, warn, error: warn, child: () => logger };
  return logger;
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
  const { id } = await control.jobs.submit({ kind, instance, request, actor: cliActor() });
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
  if (job.state === 'succeeded' || job.state === 'partial') {
    printer.result(jobDocument(job), () => textOf(job));
  }
  endAs(job);
}
