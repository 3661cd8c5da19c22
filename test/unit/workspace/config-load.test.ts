import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newConfigText } from '../../../services/workspace/src/config/edit.ts';
import {
  instanceTarget,
  loadConfig,
  parseConfig,
} from '../../../services/workspace/src/config/load.ts';
import { TempDir } from '../../support/temp-dir.ts';

const MINIMAL = 'version = 1\nstore.url = "store"\nstate.dir = "state"\nkeys.ring = "ring"\n';
const INSTANCE = '[[instance]]\nid = "a"\nurl = "redis://127.0.0.1:1"\naof_dir = "d"\n';
const MIB = 1024 ** 2;

let temp: TempDir;
let path: string;
beforeAll(async () => {
  temp = await TempDir.create();
  path = join(temp.path, 'tidemark.toml');
});
afterAll(() => temp[Symbol.asyncDispose]());

describe('loadConfig()', () => {
  const load = async (text: string) => {
    await writeFile(path, text);
    return loadConfig(path);
  };

  it('fills defaults in and takes paths from the folder of the file', async () => {
    expect(await load(MINIMAL)).toEqual({
      path,
      store: { kind: 'file', root: join(temp.path, 'store') },
      stateDir: join(temp.path, 'state'),
      secretsDir: join(temp.path, 'secrets'),
      keys: { provider: 'ring', ringDir: join(temp.path, 'ring') },
      spoolBytesMax: 20 * 1024 * MIB,
      limits: {
        ...{ rollMaxAgeMs: 1_000, rollMaxBytes: 8 * MIB, heartbeatMs: 20_000 },
        ...{ pinBytesMax: 20 * 1024 * MIB, pinAgeMaxMs: 86_400_000 },
        requestRewrites: true,
      },
      retainMs: 7 * 86_400_000,
      graceMs: 86_400_000,
      expires: false,
      allowSources: [],
      recycleRetainMs: 38 * 86_400_000,
      policy: expect.objectContaining({ spreadMs: 600_000 }) as object,
      archiverMetrics: null,
      fleet: false,
      api: {
        ...{ listen: { host: '127.0.0.1', port: 8080 }, publicUrl: null, tls: null },
        ...{ trustedProxies: [], auth: 'token', tokensFile: join(temp.path, 'tokens') },
      },
      worker: { workers: 2, allowTargets: [], targetSecrets: {}, metricsListen: null },
      clone: {
        ...{ dir: join(temp.path, 'state', 'clones'), host: '127.0.0.1' },
        ...{ ports: { from: 6400, to: 6499 }, hook: null, hookTimeoutMs: 600_000 },
      },
      events: null,
      instances: [],
    });
  });

  it('reads every setting', async () => {
    const config = await load(`version = 1
[store]
url = "file:///var/lib/tide%20mark/store"
[state]
dir = "/var/lib/tidemark"
spool_max = "1GiB"
[keys]
provider = "ring"
ring = "/etc/tidemark/ring"
[archiver]
roll_max_age = "5s"
roll_max_bytes = "16MiB"
pin_max = "2GiB"
pin_max_age = "1h"
heartbeat = "10s"
request_rewrites = false
expire = true
[policy]
days = ["mon", "tue"]
hours = ["03:00Z-04:00Z"]
retain = "7d"
grace = "1h"
[[instance]]
id = "orders"
url = "redis://127.0.0.1:6379"
user = "tidemark"
password_file = "orders.pass"
source = "aof"
aof_dir = "/var/lib/redis/appendonlydir"
`);
    expect(config).toMatchObject({
      store: { kind: 'file', root: '/var/lib/tide mark/store' },
      stateDir: '/var/lib/tidemark',
      spoolBytesMax: 1024 * MIB,
      limits: {
        ...{ rollMaxAgeMs: 5_000, rollMaxBytes: 16 * MIB, heartbeatMs: 10_000 },
        ...{ pinBytesMax: 2048 * MIB, pinAgeMaxMs: 3_600_000 },
        requestRewrites: false,
      },
      ...{ expires: true, graceMs: 3_600_000 },
      instances: [{ id: 'orders', user: 'tidemark' }],
    });
  });

  it('reads what `init` writes, whatever stands in the paths', async () => {
    const names = {
      ...{ store: { url: 'file:///a' }, rollMaxAge: '1s' },
      stateDir: '/s "quoted" \\ path',
    };
    const ring = '/ring # x';
    const none = { kmsKeyId: null, region: null, endpoint: null };
    const text = newConfigText({ ...names, keys: { provider: 'ring', ring, ...none } });
    expect(await load(text)).toMatchObject({
      store: { kind: 'file', root: '/a' },
      stateDir: names.stateDir,
      keys: { provider: 'ring', ringDir: ring },
    });
    const kms = { kmsKeyId: 'alias/a "b"', region: 'eu-central-1', endpoint: 'http://localhost:1' };
    const withKms = newConfigText({ ...names, keys: { provider: 'aws-kms', ring, ...kms } });
    expect((await load(withKms)).keys).toEqual({ provider: 'aws-kms', ringDir: ring, ...kms });
  });

  it('takes the region of a key from its ARN, and a key service beside the ring', async () => {
    const kms = (rest: string): string => MINIMAL + rest;
    const arn = 'arn:aws:kms:eu-west-3:123456789012:key/1-2';
    const byArn = kms(`keys.provider = "aws-kms"\nkeys.kms_key_id = "${arn}"\n`);
    expect((await load(byArn)).keys).toMatchObject({ region: 'eu-west-3', endpoint: null });
    expect((await load(kms('keys.kms_region = "eu-west-1"\n'))).keys).toMatchObject({
      provider: 'ring',
      kms: { region: 'eu-west-1', endpoint: null },
    });
  });

  it.each([
    ['kms_key_id is missing', 'keys.provider = "aws-kms"\nkeys.kms_region = "eu-west-1"\n'],
    ['kms_region is missing', 'keys.provider = "aws-kms"\nkeys.kms_key_id = "alias/a"\n'],
    ['kms_region is missing', 'keys.kms_endpoint = "https://kms.example"\n'],
    ['is for provider = "aws-kms"', 'keys.kms_key_id = "alias/a"\n'],
    ['must be "ring" or "aws-kms"', 'keys.provider = "vault"\n'],
    ['not encrypted', 'keys.kms_region = "eu-west-1"\nkeys.kms_endpoint = "http://kms.example"\n'],
  ])('refuses keys where it %s', async (message, text) => {
    await expect(load(MINIMAL + text)).rejects.toMatchObject({
      ...{ code: 'TM_CONFIG', message: expect.stringContaining(message) as unknown },
    });
  });

  it('names the file that it cannot read, and how to make one', async () => {
    const missing = join(temp.path, 'missing.toml');
    await expect(loadConfig(missing)).rejects.toMatchObject({
      ...{ code: 'TM_CONFIG', exitCode: 2, message: `cannot read ${missing}` },
      hint: expect.stringContaining('tidemark init') as unknown,
    });
  });

  it.each([
    ['store.url', MINIMAL.replace('"store"', '"ftp://host/prefix"'), 'TM_STORE_URL'],
    ['state.spool_max', `${MINIMAL}state.spool_max = "20GB"\n`, 'TM_CONFIG'],
    ['policy.grace', `${MINIMAL}policy.grace = "59m"\n`, 'TM_CONFIG'],
    ['archiver.heartbeat', `${MINIMAL}archiver.heartbeat = "fast"\n`, 'TM_CONFIG'],
  ])('names the setting whose value cannot be used: %s', async (name, text, code) => {
    await expect(load(text)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(name) as unknown,
    });
  });
});

describe('parseConfig()', () => {
  it.each<[string, string, RegExp]>([
    ['no TOML', 'version = \n', /is not TOML: /],
    ['nothing', '', /lacks .*version/],
    ['another version', MINIMAL.replace('1', '2'), /version must be 1$/],
    ['a misspelt table', `${MINIMAL}[archivr]\n`, /archivr is not a setting that is known$/],
    [
      'a misspelt setting',
      `${MINIMAL}[archiver]\nrol_max_age = "1s"\n`,
      /archiver\.rol_max_age is/,
    ],
    ['a setting of another type', MINIMAL.replace('"state"', '7'), /state\.dir must be string$/],
    [
      'another source',
      `${MINIMAL}${INSTANCE}source = "rdb"\n`,
      /instance\.0\.source must be "aof" or "psync"$/,
    ],
    [
      'a folder that is not read',
      `${MINIMAL}${INSTANCE}source = "psync"\n`,
      /aof_dir of instance a needs source = "aof"$/,
    ],
    ['an instance without its folder', `${MINIMAL}[[instance]]\nid = "a"\nurl = "x"\n`, /aof_dir/],
    ['an id that is no name', `${MINIMAL}${INSTANCE.replace('"a"', '"A b"')}`, /instance\.0\.id /],
    [
      'no authority where some are named',
      `${MINIMAL}${INSTANCE}tls_ca_file = []\n`,
      /instance\.0\.tls_ca_file /,
    ],
    ['an instance twice', `${MINIMAL}${INSTANCE}${INSTANCE}`, /instance a is configured twice$/],
  ])('names the file and what is wrong in it: %s', (_, text, message) => {
    expect(() => parseConfig(text, 'my.toml')).toThrow(
      expect.objectContaining({
        ...{ code: 'TM_CONFIG', exitCode: 2 },
        message: expect.stringMatching(new RegExp(`^my\\.toml.*${message.source}`)) as unknown,
      }),
    );
  });

  it.each([
    ['redis://ops:hunter2@127.0.0.1:1', 'holds a password'],
    ['redis+sentinel://ops:hunter2@127.0.0.1/orders', 'holds a password'],
    ['redis://127.0.0.1:1?password=hunter2', 'ends in something unknown'],
    ['hunter2@127.0.0.1', 'is not an address'],
  ])('refuses an address and never repeats it: %s', (url, why) => {
    const text = `${MINIMAL}${INSTANCE.replace('redis://127.0.0.1:1', url)}source = "aof"\n`;
    let found: unknown;
    try {
      parseConfig(text, 'my.toml');
    } catch (cause) {
      found = cause;
    }
    expect(found).toMatchObject({
      ...{ code: 'TM_CONFIG', exitCode: 2 },
      message: expect.stringMatching(
        new RegExp(`^my\\.toml: url of instance a: .* ${why}$`),
      ) as unknown,
    });
    expect(String(found) + JSON.stringify(found)).not.toContain('hunter2');
  });
});

describe('instanceTarget()', () => {
  const entry = { id: 'a', url: 'redis://ops@10.0.0.1:6380', aof_dir: 'appendonlydir' };

  it('takes paths from the folder of the configuration', async () => {
    expect(await instanceTarget(entry, path)).toEqual({
      id: 'a',
      aofDir: join(temp.path, 'appendonlydir'),
      address: { host: '10.0.0.1', port: 6380, username: 'ops' },
      hold: false,
    });
    expect(await instanceTarget({ ...entry, hold: true }, path)).toMatchObject({ hold: true });
  });

  it('reads the password from the first line of its file; a user of its own wins', async () => {
    await writeFile(join(temp.path, 'a.pass'), 'pass word\r\nnot this\n', { mode: 0o600 });
    const target = await instanceTarget(
      { ...entry, user: 'tidemark', password_file: 'a.pass' },
      path,
    );
    expect(target.address).toMatchObject({ username: 'tidemark', password: 'pass word' });
  });

  it('refuses a password in the address', async () => {
    const open = { ...entry, url: 'redis://ops:secret@10.0.0.1:6380' };
    const refusal = await instanceTarget(open, path).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'TM_USAGE' });
    expect(String(refusal)).not.toContain('secret');
  });
});
