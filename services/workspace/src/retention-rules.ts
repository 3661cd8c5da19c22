import type { RetentionRules } from '@tidemark/archiver';
import { SHARE_MAX } from '@tidemark/catalog';
import type { Config } from './config/load.ts';

/** How much is kept, as the configuration says. An instance with a policy of its own has that. */
export function retentionRules({ retainMs, graceMs }: Config): RetentionRules {
  const retainSeconds = Math.max(1, Math.ceil(retainMs / 1000));
  return { retainSeconds, graceMs, shareMax: SHARE_MAX };
}
