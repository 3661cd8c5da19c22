import { eventMs } from '@tidemark/catalog';
import type { FleetBench, FleetOwner } from './fleet-run.ts';

/** When what happened to a log that changed hands, milliseconds since the fault; null: it is not known. */
export interface TakeoverTimes {
  readonly instance: string;
  readonly host: string;
  /** Last entry of the owner before. */
  readonly silent: number | null;
  /** The group gave it to its new owner. */
  readonly assigned: number | null;
  /** The new owner had read its log, and began to wait. */
  readonly waiting: number | null;
  readonly claimed: number;
  /** It receives what the node writes. */
  readonly going: number | null;
}

interface LogLine {
  readonly time: number;
  readonly msg: string;
  readonly instance?: string;
  readonly instances?: string;
}

/** What a log that changed hands waited for, as its entries and its new owner tell. */
export async function takeoverTimes(
  fleet: FleetBench,
  { instance, host, claimedMs, generation }: FleetOwner,
  sinceMs: number,
): Promise<TakeoverTimes> {
  const lines = linesOf(fleet.archiver(host).log).filter(({ time }) => time >= sinceMs);
  const since = (ms: number | undefined): number | null => (ms === undefined ? null : ms - sinceMs);
  const named = (msg: string): number | undefined =>
    lines.find((line) => line.msg === msg && line.instance === instance)?.time;
  const given = lines.filter(
    ({ msg, instances = '' }) =>
      msg === 'fleet-assigned' && instances.split(' ').includes(instance),
  );
  const before = (await fleet.entries(instance)).findLast((entry) => entry.generation < generation);
  return {
    ...{ instance, host, claimed: claimedMs - sinceMs },
    silent: since(before && eventMs(before.event)),
    assigned: since(given[0]?.time),
    waiting: since(named('waiting-for-log')),
    going: since(lines.find((line) => line.time >= claimedMs && isGoing(line, instance))?.time),
  };
}

function isGoing(line: LogLine, instance: string): boolean {
  return line.msg === 'caught-up' && line.instance === instance;
}

function linesOf(log: string): readonly LogLine[] {
  return log.split('\n').flatMap((line) => {
    try {
      const { time, ...rest } = JSON.parse(line) as Omit<LogLine, 'time'> & {
        time: string | number;
      };
      return [{ ...rest, time: new Date(time).getTime() }];
    } catch {
      return []; // a warning of the runtime
    }
  });
}

/** One line for each log. */
export function tellTimes(times: readonly TakeoverTimes[]): string {
  const seconds = (ms: number | null): string => (ms === null ? '-' : (ms / 1000).toFixed(1));
  return times
    .map(({ instance, host, silent, assigned, waiting, claimed, going }) => {
      const steps = [`silent ${seconds(silent)}`, `assigned ${seconds(assigned)}`];
      steps.push(`waiting ${seconds(waiting)}`, `claimed ${seconds(claimed)}`);
      return `  ${instance} to ${host}: ${steps.join(', ')}, going on ${seconds(going)} s`;
    })
    .join('\n');
}
