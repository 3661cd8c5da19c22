import { UsageError } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';

/** @throws UsageError `TM_NOT_FOUND` for an instance without a node here. */
export function requireConfigured(instance: string, { config }: Workspace): void {
  if (config.instances.some(({ id }) => id === instance)) return;
  throw new UsageError('TM_NOT_FOUND', `no instance ${instance} is configured here`, {
    hint: 'its node stands in [[instance]] of tidemark.toml',
  });
}
