import { placeName } from './host-port.ts';
import type { SeenReplica, SentinelAnswer } from './sentinel-answer.ts';

/**
 * The one answer to go by.
 *
 * A failover gets its number from a majority of the Sentinels, so the highest number is what the
 * majority decided last, also when most of those that answer here have not heard of it yet or are
 * cut off with the node that lost. Of equal numbers the place named most often counts, then the
 * order of the Sentinels.
 *
 * @param answers - At least one.
 * @see redis src/sentinel.c, sentinelProcessHelloMessage (a greater config_epoch is taken over)
 */
export function agreedView(answers: readonly SentinelAnswer[]): SentinelAnswer | undefined {
  const votes = new Map<string, number>();
  for (const { primary } of answers) {
    const name = placeName(primary);
    votes.set(name, (votes.get(name) ?? 0) + 1);
  }
  const votesOf = ({ primary }: SentinelAnswer): number => votes.get(placeName(primary)) ?? 0;
  let best = answers[0];
  for (const answer of answers) {
    if (best === undefined) break;
    const newer = answer.configEpoch - best.configEpoch;
    if (newer > 0 || (newer === 0 && votesOf(answer) > votesOf(best))) best = answer;
  }
  return best;
}

/**
 * Healthy replicas, the best to capture from first: the one followed so far, then those that are the
 * last to become primary (priority 0 never does, otherwise the highest number is last).
 *
 * @param followed - Name of the place that is followed now, or null.
 */
export function replicasToTry(view: SentinelAnswer, followed: string | null): SeenReplica[] {
  const rank = ({ priority }: SeenReplica): number => (priority === 0 ? Infinity : priority);
  return view.replicas
    .filter(({ healthy }) => healthy)
    .map((replica) => ({ replica, name: placeName(replica) }))
    .sort((a, b) => {
      if (a.name === followed || b.name === followed) return a.name === followed ? -1 : 1;
      const [left, right] = [rank(a.replica), rank(b.replica)];
      if (left !== right) return left > right ? -1 : 1;
      return a.name < b.name ? -1 : 1;
    })
    .map(({ replica }) => replica);
}
