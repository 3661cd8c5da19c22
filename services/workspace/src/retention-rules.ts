import type { RetentionRules } from '@tidemark/archiver';
import { SHARE_MAX } from '@tidemark/catalog';
import type { Config } from './config/load.ts';

/** How much is kept, as the configuration says. An instance with a policy of its own has that. */
export function retentionRules({ policy, graceMs }: Config): RetentionRules {
  const { retainSeconds, keepLast } = policy.policy;
  return { retainSeconds, keepLast, graceMs, shareMax: SHARE_MAX };
}
