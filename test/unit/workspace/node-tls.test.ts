import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { addInstance } from '../../../services/workspace/src/config/edit.ts';
import {
  instanceTarget,
  loadConfig,
  parseConfig,
} from '../../../services/workspace/src/config/load.ts';
import { TempDir } from '../../support/temp-dir.ts';
import { writeCertificates } from '../../support/tls/certificate-files.ts';
import { TestCa } from '../../support/tls/certificates.ts';

const HEAD = `version = 1
[store]
url = "file:///s"
[state]
dir = "state"
[keys]
ring = "ring"
`;
const ENTRY = { id: 'orders', source: 'psync' } as const;
const URL = 'rediss://capture@db.example:6380';

describe('an instance with TLS', () => {
  it('is written and read with files beside the configuration, several authorities too', async () => {
    await using temp = await TempDir.create();
    await mkdir(join(temp.path, 'tls'));
    const ca = await TestCa.create('CA');
    const own = await ca.issueKind('client');
    await writeCertificates(join(temp.path, 'tls'), 'we', [ca.cert], own);
    const path = join(temp.path, 'tidemark.toml');
    await writeFile(path, HEAD);
    await addInstance(path, {
      ...{ ...ENTRY, url: URL, tls_ca_file: ['tls/we-ca.pem', 'tls/we-ca.pem'] },
      ...{ tls_cert_file: 'tls/we.pem', tls_key_file: 'tls/we.key' },
      ...{ tls_server_name: 'orders.internal', tls_min_version: '1.3' },
    });
    const config = await loadConfig(path);
    const { address } = await instanceTarget(config.instances[0]!, path);
    using tls = address.tls!;
    expect(address).toMatchObject({ host: 'db.example', secure: true, username: 'capture' });
    const caFile = join(temp.path, 'tls', 'we-ca.pem');
    expect(tls.settings).toEqual({
      ...{ caFiles: [caFile, caFile], serverName: 'orders.internal', minVersion: '1.3' },
      ...{ certFile: join(temp.path, 'tls', 'we.pem'), keyFile: join(temp.path, 'tls', 'we.key') },
    });
    expect(await readFile(path, 'utf8')).toContain('["tls/we-ca.pem","tls/we-ca.pem"]');
  });

  it('is refused with settings that mean nothing for its address, or that do not exist', async () => {
    const plain = { ...ENTRY, url: 'redis://h:1', tls_server_name: 'h' };
    await expect(instanceTarget(plain, '/x/tidemark.toml')).rejects.toMatchObject({
      ...{ code: 'TM_TLS_SETTINGS', hint: expect.stringContaining('rediss://') as string },
    });
    const socket = { ...ENTRY, url: 'unix:///run/x.sock', tls_ca_file: 'ca.pem' };
    await expect(instanceTarget(socket, '/x/tidemark.toml')).rejects.toMatchObject({
      code: 'TM_TLS_SETTINGS',
    });
    const entry = `[[instance]]\nid = "a"\nsource = "psync"\nurl = "${URL}"\n`;
    for (const line of ['tls_min_version = "1.1"', 'tls_verify = false', 'tls_ca_file = 1']) {
      expect(() => parseConfig(`${HEAD}${entry}${line}\n`, 'x.toml'), line).toThrow(
        expect.objectContaining({ code: 'TM_CONFIG' }) as Error,
      );
    }
  });
});
