import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { createInstance } from '@tidemark/catalog';
import type { Logger } from '@tidemark/archiver';
import { systemRandom } from '@tidemark/system';
import { describe, expect, it } from 'vitest';
import { writeBackHandler } from '../../../services/control/src/handlers/write-back.ts';
import { SecretFolder } from '../../../services/control/src/provision/secrets.ts';
import { PolicyBench, SHOP } from '../../support/policy-bench.ts';

const DAY_MS = 86_400_000;
const QUIET: Logger = {
  ...{ info: () => undefined, warn: () => undefined, error: () => undefined },
  child: () => QUIET,
};

describe('instances that are added or removed while a process runs', () => {
  it('get their scheduled backups, and writes into the original, as the file says now', async () => {
    const beganMs = Date.parse('2027-01-01T00:00Z');
    await using bench = await PolicyBench.open(beganMs, `hours = ["03:00"]`);
    const { workspace, clock } = bench;
    const { scheduler } = bench.opened();
    const secrets = new SecretFolder(workspace.config);
    const ports = { workspace, secrets, clock, random: systemRandom, logger: QUIET };
    const write = writeBackHandler(ports);
    const actor = { name: 'eve', via: 'cli' } as const;
    const request = { point: { kind: 'latest' }, selector: null };
    const check = (instance: string): unknown =>
      write.check({ kind: 'write-back', instance, request, actor });
    await bench.pass(scheduler, DAY_MS);
    bench.finish();
    const { store, keys, config } = workspace;
    const record = { store, iid: 'late', logKey: await keys.logKey('late'), name: 'late' };
    await createInstance({ ...record, createdMs: clock.nowMs(), clock, random: systemRandom });
    const entry = '\n[[instance]]\nid = "late"\nurl = "redis://127.0.0.1:1"\nsource = "psync"\n';
    const before = await readFile(config.path, 'utf8');
    await appendFile(config.path, entry);
    await workspace.reload();
    await bench.pass(scheduler, DAY_MS);
    bench.finish();
    expect(bench.jobs.list({ instance: 'late', pageSize: 9 }).jobs).toHaveLength(1);
    expect(bench.jobs.list({ instance: SHOP, pageSize: 9 }).jobs).toHaveLength(2);
    // It is refused for what it lacks, not for its instance.
    expect(() => check('late')).toThrow(/say which keys/);
    await writeFile(config.path, before.replace(`id = "${SHOP}"`, 'id = "late"'));
    await workspace.reload();
    await bench.pass(scheduler, DAY_MS);
    expect(bench.jobs.list({ instance: SHOP, pageSize: 9 }).jobs).toHaveLength(2);
    expect(() => check(SHOP)).toThrow(/configuration has no instance/);
  });
});
