import { UsageError } from '@tidemark/core';
import { loadConfig, type Config } from '@tidemark/workspace';

/**
 * The configuration as it is now: instances come and go while a service runs.
 * @throws UsageError `TM_NOT_FOUND` for an instance without a node here.
 */
export async function requireConfigured(instance: string, path: string): Promise<Config> {
  const config = await loadConfig(path);
  if (config.instances.some(({ id }) => id === instance)) return config;
  throw new UsageError('TM_NOT_FOUND', `no instance ${instance} is configured here`, {
    hint: 'its node stands in [[instance]] of tidemark.toml',
  });
}
