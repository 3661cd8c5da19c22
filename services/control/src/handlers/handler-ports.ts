import type { Logger } from '@tidemark/archiver';
import type { Clock, Random } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';
import type { SecretFolder } from '../provision/secrets.ts';

/** What handlers of jobs work with. */
export interface HandlerPorts {
  readonly workspace: Workspace;
  readonly secrets: SecretFolder;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}
