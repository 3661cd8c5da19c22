import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { kmsError } from '../support/fault-proxy-faults.ts';
import type { FaultRule } from '../support/fault-proxy.ts';
import { ARCHIVER_IDENTITY, describeWithKms, GuardedKms } from '../support/kms-server.ts';
import { readOracle } from '../support/oracle.ts';
import { INSTANCE, Scenario } from '../support/scenario.ts';
import { TempDir } from '../support/temp-dir.ts';
import { iso, runTidemark, type CliRun } from '../support/tidemark-cli.ts';
import { chooseSeed, Dice } from '../support/workload.ts';

const KILLS = 3;
const DENIED = 12;
const AWAY = 16;
const USAGE = 2;
const ARCHIVER = new RegExp(ARCHIVER_IDENTITY['AWS_ACCESS_KEY_ID'] ?? '');

describeWithKms('(l) keys of a key service', () => {
  let kms: GuardedKms;
  beforeAll(async () => {
    kms = await GuardedKms.start();
  });
  afterAll(() => kms[Symbol.asyncDispose]());
  beforeEach(() => {
    kms.proxy.rules.length = 0;
    kms.proxy.requests.length = 0;
  });

  it('an archiver that opens no data key is killed again and again; what it stored restores equal, or not at all', async () => {
    const seed = chooseSeed('key service');
    const dice = new Dice(seed);
    await using scenario = await Scenario.start({ workload: { seed }, keys: kms });
    const { tidemark, workload, recorder } = scenario;
    await workload.open();
    for (let killed = 0; killed < KILLS; killed++) {
      const archiver = killed === 0 ? await tidemark.serve() : tidemark.spawnArchiver();
      await recorder.record(workload, 1);
      await delay(dice.between(0, 500));
      await archiver.kill();
    }
    await tidemark.serve();
    await recorder.record(workload, 2);
    const recorded = recorder.recorded;
    const last = recorded.at(-1);
    if (last === undefined) throw new Error('nothing was recorded');
    const windows = await tidemark.untilProven(INSTANCE, last.second);
    expect(windows.shards[0]?.holes).toEqual([]);

    for (const one of [recorded[0], last])
      if (one !== undefined) await scenario.expectRestored(one);
    const asked = (identity: (key: string | null) => boolean): string[] => [
      ...new Set(
        kms.proxy.requests
          .filter((request) => identity(request.identity))
          .map((request) => request.target?.replace('TrentService.', '') ?? ''),
      ),
    ];
    const isArchiver = (key: string | null): boolean => ARCHIVER.test(key ?? '');
    expect(asked(isArchiver)).toEqual(['GenerateDataKey']);
    expect(asked((key) => !isArchiver(key))).toContain('Decrypt');

    await expectUntouched(scenario, kms, last.second);

    kms.proxy.down = true; // logs are read with the ring alone
    expect((await tidemark.windows(INSTANCE)).shards[0]?.ranges).toHaveLength(1);
    kms.proxy.down = false;

    const doctor = await tidemark.run('doctor');
    expect(doctor.out).toContain(`${kms.keyId}: enabled`);
    expect(doctor.out).toContain('data keys can be made and opened');
    refuseOperator(kms, 'AccessDeniedException');
    expect((await tidemark.run('doctor')).out).toContain('a restore needs kms:Decrypt');
  });

  it('tidemark init writes the ARN of the key, and leaves nothing behind where the key cannot be used', async () => {
    await using temp = await TempDir.create();
    const { server, proxy, keyId } = kms;
    const dir = join(temp.path, 'new');
    const init = async (key: string, endpoint = proxy.url, ...more: string[]): Promise<CliRun> =>
      runTidemark([
        ...['init', '--dir', dir, '--keys', 'aws-kms', '--kms-key', key, '-o', 'json'],
        ...['--kms-region', 'us-east-1', '--kms-endpoint', endpoint, ...more],
      ]);
    const closed = await server.createKey();
    await server.disableKey(closed);
    for (const [key, endpoint, exit, code] of [
      ['alias/none', proxy.url, DENIED, 'TM_KEY_MISSING'],
      [closed, proxy.url, DENIED, 'TM_KEY_DISABLED'],
      [keyId, 'http://kms.example', USAGE, 'TM_CONFIG'],
    ] as const) {
      const { code: exited, err } = await init(key, endpoint);
      expect(err).toContain(`"code":"${code}"`);
      expect(exited).toBe(exit);
      expect(existsSync(dir)).toBe(false);
    }
    await server.ask('CreateAlias', { AliasName: 'alias/ours', TargetKeyId: keyId });
    const { out, err } = await init('alias/ours');
    expect(err).not.toContain('AWS SDK'); // its advice on versions of Node.js is not ours
    expect(JSON.parse(out)).toMatchObject({ key: keyId });
    const text = await readFile(join(dir, 'tidemark.toml'), 'utf8');
    expect(text).toContain(`kms_key_id = "${keyId}"`);
    expect(text).not.toContain(server.env['AWS_SECRET_ACCESS_KEY']);
  });
});

/** Every refusal of the key service ends a restore before the target is touched. */
async function expectUntouched(scenario: Scenario, kms: GuardedKms, second: number): Promise<void> {
  const { tidemark, target, targetRedis } = scenario;
  await targetRedis.flushall();
  await targetRedis.set('mine', 'as it was');
  const before = await readOracle(targetRedis);
  const to = ['--to', `redis://127.0.0.1:${target.port}`, '--yes'];
  for (const [type, exit, code] of [
    ['AccessDeniedException', DENIED, 'TM_KEY_DENIED'],
    ['DisabledException', DENIED, 'TM_KEY_DISABLED'],
    ['ThrottlingException', AWAY, 'TM_KEY_SERVICE'],
  ] as const) {
    const rule = refuseOperator(kms, type);
    const error = await tidemark.refused(exit, 'restore', INSTANCE, '--at', iso(second), ...to);
    expect(error).toMatchObject({ code, context: { action: 'kms:Decrypt' } });
    expect(kms.proxy.struck(rule)).toBeGreaterThan(0);
    kms.proxy.rules.splice(kms.proxy.rules.indexOf(rule), 1);
    expect(await readOracle(targetRedis)).toEqual(before);
    expect(await targetRedis.info('replication')).toContain('role:master');
  }
}

/** Refuses Decrypt to everybody, so that it holds for whoever restores as well. */
function refuseOperator(kms: GuardedKms, type: string): FaultRule {
  const rule = { match: { target: /Decrypt/ }, fault: kmsError(type), times: Infinity };
  kms.proxy.rules.unshift(rule);
  return rule;
}
