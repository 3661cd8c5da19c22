import { readFile, rename, writeFile } from 'node:fs/promises';
import { systemClock, systemRandom } from '@tidemark/system';
import { Workspace } from '@tidemark/workspace';
import { cloneHandler } from '../../../services/control/src/clone/clone-handler.ts';
import type { Job } from '../../../services/control/src/jobs/job.ts';
import { openProvisioners } from '../../../services/control/src/provision/provisioners.ts';

// One attempt of a clone that is killed, by its own hand, while the data are on their way.
const [, , configPath = '', jobFile = '', checkpointFile = ''] = process.argv;
const ports = { clock: systemClock, random: systemRandom };
using workspace = await Workspace.open({ configPath });
const provisioners = openProvisioners(workspace.config, ports);
const handler = cloneHandler({ workspace, provisioners, ...ports });
const job = JSON.parse(await readFile(jobFile, 'utf8')) as Job;
await handler.run({
  job,
  signal: new AbortController().signal,
  checkpoint: null,
  keep: async (checkpoint) => {
    await writeFile(`${checkpointFile}.new`, JSON.stringify(checkpoint));
    await rename(`${checkpointFile}.new`, checkpointFile);
  },
  progress: ({ bytesDone = 0 }) => {
    if (bytesDone > 0) process.kill(process.pid, 'SIGKILL');
  },
  log: () => undefined,
});
process.exit(0);
