import type { NodeClient } from '@tidemark/client';

/** How often each command has failed since the server started; only those that have. */
export type CommandFailures = Readonly<Record<string, number>>;

const PREFIX = 'cmdstat_';
/** Names that are told of at most. */
const TOLD_MAX = 20;

/** Reads them; empty before 6.2, which does not count. Other clients' failures are among them. */
export async function readFailures(client: NodeClient): Promise<CommandFailures> {
  const info = await client.info('commandstats');
  const failures: Record<string, number> = {};
  for (const name of info.names(/^cmdstat_/)) {
    const { rejected_calls: rejected = '0', failed_calls: failed = '0' } = info.fields(name);
    const count = Number(rejected) + Number(failed);
    if (count > 0) failures[name.slice(PREFIX.length)] = count;
  }
  return failures;
}

/** What failed since, for people: `incr 2, setbit 1`; empty when nothing did. */
export function newFailures(before: CommandFailures, now: CommandFailures): string {
  const grown = Object.entries(now)
    .map(([name, count]): [string, number] => [name, count - (before[name] ?? 0)])
    .filter(([, count]) => count > 0)
    .sort(([a, left], [b, right]) => right - left || (a < b ? -1 : 1));
  return grown
    .slice(0, TOLD_MAX)
    .map(([name, count]) => `${name} ${String(count)}`)
    .join(', ');
}
