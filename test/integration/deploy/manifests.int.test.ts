import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { loadConfig, type Config } from '@tidemark/workspace';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { faultOf } from '../../support/cli-program.ts';
import { filesBelow, ROOT, wordsOf } from '../../support/deploy-files.ts';
import { TempDir } from '../../support/temp-dir.ts';

type Tree = { readonly [name: string]: unknown };

const yamlFiles = filesBelow('deploy', /\.ya?ml$/);

function documents(path: string): readonly Tree[] {
  const file = yamlFiles.find((each) => each.path === path);
  if (file === undefined) throw new Error(`no ${path}`);
  return parseAllDocuments(file.text, { merge: true }).map((document) => {
    expect(document.errors, path).toEqual([]);
    return document.toJS() as Tree;
  });
}

/** What lies at a path of names and positions. */
function at(tree: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((now, name) => (now as Tree | undefined)?.[name], tree);
}

function listAt(tree: unknown, ...path: readonly (string | number)[]): readonly Tree[] {
  return (at(tree, ...path) as readonly Tree[] | undefined) ?? [];
}

/** The port on which a service answers, as a configuration says. */
function portOf(config: Config, words: readonly string[]): number {
  const [, role] = words;
  if (role === 'archiver') return config.archiverMetrics?.port ?? 0;
  return role === 'restorer' ? (config.worker.metricsListen?.port ?? 0) : config.api.listen.port;
}

const inner = (kind: string): readonly Tree[] =>
  filesBelow('deploy/kubernetes', /\.yaml$/)
    .flatMap(({ path }) => documents(path))
    .filter((one) => one['kind'] === kind);

describe('what is deployed', () => {
  it('is YAML, JSON and TOML throughout', async () => {
    for (const { path } of yamlFiles) expect(documents(path).length, path).toBeGreaterThan(0);
    for (const { text } of filesBelow('deploy', /\.json$/)) JSON.parse(text);
    for (const { path } of filesBelow('deploy', /\.toml$/)) {
      const { stateDir, secretsDir } = await loadConfig(join(ROOT, path));
      // The folder of the file is read-only there, and services write secrets of their own.
      expect(dirname(secretsDir), path).toBe(stateDir);
    }
  });

  it('holds no secret, and gives none in an argument or in the environment', () => {
    for (const { path, text } of filesBelow('deploy')) {
      const values = text.matchAll(
        /^\s*-?\s*["']?(\w*(?:PASS|SECRET|TOKEN|CREDENTIAL)\w*)["']?[ \t]*[:=][ \t]*(\S+)/gim,
      );
      for (const [, name = '', value = ''] of values) {
        if (
          path.endsWith('secrets.sh') ||
          /^(secretName|token|password_file|tokens_file)$/.test(name)
        )
          continue;
        expect(value, `${path}: ${name}`).toMatch(/^(["']?\/|\[|\{|secret:|false|%[sd])/);
      }
      expect(text, path).not.toMatch(/rediss?:\/\/[^\s"'@/]*:[^\s"'@/]+@/);
    }
  });

  it('systemd: every unit runs a service of the program, confined, with credentials as files', async () => {
    const units = filesBelow('deploy/systemd', /\.service$/);
    expect(units.map(({ path }) => path.replace(/.*tidemark-/, ''))).toEqual([
      ...['api.service', 'archiver.service', 'restorer.service'],
    ]);
    for (const { path, text } of units) {
      const settings = new Map(
        text
          .split('\n')
          .filter((line) => /^[A-Za-z]+=/.test(line))
          .map((line): [string, string] => [
            line.slice(0, line.indexOf('=')),
            line.slice(line.indexOf('=') + 1),
          ]),
      );
      const [program, ...words] = wordsOf(settings.get('ExecStart') ?? '');
      expect(program, path).toBe('/usr/bin/tidemark');
      expect(await faultOf(words), path).toBeNull();
      expect(Object.fromEntries(settings), path).toMatchObject({
        ...{ User: 'tidemark', NoNewPrivileges: 'yes', ProtectSystem: 'strict', PrivateTmp: 'yes' },
        ...{ CapabilityBoundingSet: '', SystemCallFilter: '@system-service', UMask: '0077' },
        ...{ LoadCredential: 'secret:/etc/tidemark/secrets', StateDirectory: 'tidemark' },
        ...{
          RestrictAddressFamilies: 'AF_INET AF_INET6 AF_UNIX',
          Restart: 'on-failure',
          LimitCORE: '0',
        },
      });
      expect(settings.has('MemoryDenyWriteExecute'), path).toBe(false); // it would end V8
      // A restart of who made a server for a clone ends no such server.
      const makesServers = words[1] !== 'archiver';
      expect(settings.get('KillMode'), path).toBe(makesServers ? 'process' : 'mixed');
    }
  });

  it.skipIf(!existsSync('/usr/bin/systemd-analyze'))(
    'systemd: its own checks take the units, and find them confined',
    async () => {
      await using temp = await TempDir.create('tidemark-units-');
      const units = filesBelow('deploy/systemd', /\.service$/);
      for (const { path, text } of units) {
        const name = path.split('/').at(-1) ?? '';
        await cp(join(ROOT, path), join(temp.path, name));
        execFileSync('sed', ['-i', 's#/usr/bin/tidemark#/bin/true#', join(temp.path, name)]);
        expect(text).toContain('/usr/bin/tidemark');
        const unit = join(temp.path, name);
        const verified = execFileSync('systemd-analyze', ['verify', '--man=no', unit], {
          encoding: 'utf8',
          stdio: 'pipe',
        });
        expect(verified).toBe('');
        // The scale ends at 10, which is no confinement at all; 3 fails a unit that lost a part of it.
        execFileSync('systemd-analyze', ['security', '--offline=true', '--threshold=30', unit], {
          stdio: 'pipe',
        });
      }
    },
  );

  it('compose: every command is one of the program, every port one that it listens on', async () => {
    const [compose] = documents('deploy/compose/compose.yaml');
    const config = await loadConfig(join(ROOT, 'deploy/compose/tidemark.toml'));
    const services = Object.entries(at(compose, 'services') as Tree);
    const secrets = Object.keys(at(compose, 'secrets') as Tree);
    const own = services.filter(([, one]) => at(one, 'image') === 'tidemark');
    expect(own.map(([name]) => name)).toEqual(['begin', 'archiver', 'api', 'restorer']);
    for (const [name, one] of own) {
      for (const secret of listAt(one, 'secrets')) expect(secrets, name).toContain(secret);
      expect(one).toMatchObject({ read_only: true, cap_drop: ['ALL'] });
      const words = at(one, 'command') as readonly string[];
      if (name === 'begin') {
        const lines = (words[0] ?? '').split('\n').filter((line) => line.startsWith('tidemark '));
        expect(lines).toHaveLength(2);
        for (const line of lines) expect(await faultOf(wordsOf(line).slice(1)), line).toBeNull();
        continue;
      }
      expect(await faultOf(words), name).toBeNull();
      const port = portOf(config, words).toString();
      expect(at(compose, 'services', 'kms', 'ports')).toContain(`127.0.0.1:${port}:${port}`);
      expect(at(one, 'environment', 'TIDEMARK_HEALTH_URL')).toBe(`http://127.0.0.1:${port}/readyz`);
    }
    const hosts = [config.events?.brokers[0], config.instances[0]?.url].map(
      (address) => /([a-z0-9]+):\d+$/.exec(address ?? '')?.[1],
    );
    const { store, keys } = config as unknown as Record<'store' | 'keys', { endpoint: string }>;
    for (const { endpoint } of [store, keys]) expect(new URL(endpoint).hostname).toBe('127.0.0.1');
    for (const [name, script] of [
      ['s3', 'install-s3.sh'],
      ['kafka', 'install-kafka.sh'],
    ] as const) {
      const [, version = '?'] =
        /:v?([\d.]+)$/.exec(String(at(compose, 'services', name, 'image'))) ?? [];
      expect(await readFile(join(ROOT, 'scripts', script), 'utf8'), name).toContain(version); // as tested
    }
    // Elsewhere than on a loopback the store and the key service are refused without TLS.
    for (const name of ['s3', ...own.map(([each]) => each)])
      expect(at(compose, 'services', name, 'network_mode')).toBe('service:kms');
    for (const host of [...hosts, 's3', 'kms'])
      expect(services.map(([name]) => name)).toContain(host);
  });

  it('compose: its passwords are made as files behind a folder that only their owner enters', async () => {
    await using temp = await TempDir.create('tidemark-compose-');
    await mkdir(join(temp.path, 'c'));
    await cp(join(ROOT, 'deploy/compose/secrets.sh'), join(temp.path, 'c/secrets.sh'));
    execFileSync('bash', [join(temp.path, 'c/secrets.sh')]);
    const folder = join(temp.path, 'c/secrets');
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    const before = await readFile(join(folder, 'orders_pass'), 'utf8');
    expect(before).toMatch(/^[A-Za-z0-9]{20,}$/);
    await rm(join(folder, 's3_root'));
    execFileSync('bash', [join(temp.path, 'c/secrets.sh')]); // again: what is there stays
    expect(await readFile(join(folder, 'orders_pass'), 'utf8')).toBe(before);
    const [compose] = documents('deploy/compose/compose.yaml');
    for (const [name, { file }] of Object.entries(
      at(compose, 'secrets') as Record<string, { file: string }>,
    )) {
      expect(file).toBe(`./secrets/${name}`);
      expect(existsSync(join(folder, name))).toBe(true);
    }
  });

  it('kubernetes: every command is one of the program, every port and selector meets its other end', async () => {
    const config = await loadConfig(join(ROOT, 'deploy/kubernetes/tidemark.toml'));
    const sets = [...inner('StatefulSet'), ...inner('Deployment')];
    expect(sets.map((set) => at(set, 'metadata', 'name')).toSorted()).toEqual([
      ...['tidemark-api', 'tidemark-archiver', 'tidemark-restorer'],
    ]);
    for (const set of sets) {
      const pod = at(set, 'spec', 'template', 'spec');
      expect(at(set, 'spec', 'template', 'metadata', 'labels')).toMatchObject(
        at(set, 'spec', 'selector', 'matchLabels') as object,
      );
      expect(pod).toMatchObject({
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true },
      });
      const claims = listAt(set, 'spec', 'volumeClaimTemplates').map((claim) =>
        at(claim, 'metadata', 'name'),
      );
      const volumes = [...listAt(pod, 'volumes').map(({ name }) => name), ...claims];
      for (const container of [...listAt(pod, 'containers'), ...listAt(pod, 'initContainers')]) {
        for (const { name } of listAt(container, 'volumeMounts')) expect(volumes).toContain(name);
        expect(container).toMatchObject({ securityContext: { readOnlyRootFilesystem: true } });
      }
      for (const container of listAt(pod, 'containers')) {
        const words = at(container, 'args') as readonly string[];
        expect(await faultOf(words), words.join(' ')).toBeNull();
        const [port] = listAt(container, 'ports');
        expect(at(port, 'containerPort')).toBe(portOf(config, words));
        for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
          const path = probe === 'readinessProbe' ? '/readyz' : '/healthz';
          expect(at(container, probe, 'httpGet')).toEqual({ path, port: at(port, 'name') });
        }
      }
    }
    const ports = sets.flatMap((set) =>
      listAt(set, 'spec', 'template', 'spec', 'containers').flatMap((one) => listAt(one, 'ports')),
    );
    const named = new Map(ports.map((port) => [at(port, 'name'), at(port, 'containerPort')]));
    const labels = sets.map((set) => at(set, 'spec', 'template', 'metadata', 'labels') as Tree);
    const selects = (selector: unknown): boolean =>
      labels.some((each) =>
        Object.entries(selector as Tree).every(([name, value]) => each[name] === value),
      );
    for (const service of inner('Service')) {
      expect(selects(at(service, 'spec', 'selector'))).toBe(true);
      for (const { port, targetPort } of listAt(service, 'spec', 'ports'))
        expect(named.get(targetPort)).toBe(port);
    }
    const served = inner('Service').flatMap((service) =>
      listAt(service, 'spec', 'ports').map(({ name }) => name),
    );
    for (const { port } of listAt(inner('ServiceMonitor')[0], 'spec', 'endpoints'))
      expect(served).toContain(port);
    for (const budget of inner('PodDisruptionBudget'))
      expect(selects(at(budget, 'spec', 'selector', 'matchLabels'))).toBe(true);
    for (const policy of inner('NetworkPolicy')) {
      expect(selects(at(policy, 'spec', 'podSelector', 'matchLabels'))).toBe(true);
      const open = listAt(policy, 'spec', 'ingress').flatMap((rule) => listAt(rule, 'ports'));
      for (const { port, endPort } of open)
        if (endPort === undefined) expect([...named.values()]).toContain(port);
        else expect([port, endPort]).toEqual([32_768, 60_999]); // what a worker listens on for a target
    }
  });

  it('kubernetes: the kustomization names every file, and nothing that is not there', () => {
    const [kustomization] = documents('deploy/kubernetes/kustomization.yaml');
    const files = filesBelow('deploy/kubernetes').map(({ path }) =>
      path.replace('deploy/kubernetes/', ''),
    );
    const [generator] = listAt(kustomization, 'configMapGenerator');
    const named = [
      ...(at(kustomization, 'resources') as string[]),
      ...(at(generator, 'files') as string[]),
    ];
    expect([...named, 'kustomization.yaml'].toSorted()).toEqual(files.toSorted());
    const maps = inner('Deployment').map((set) =>
      JSON.stringify(at(set, 'spec', 'template', 'spec', 'volumes')),
    );
    for (const volumes of maps)
      expect(volumes).toContain(`"configMap":{"name":"${String(at(generator, 'name'))}"}`);
  });

  it('docker: the image is built from what is here, runs as nobody, and knows whether it is well', async () => {
    const text = await readFile(join(ROOT, 'deploy/docker/Dockerfile'), 'utf8');
    const lines = text
      .replaceAll(/\\\n\s*/g, '')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    const of = (name: string): readonly string[] =>
      lines
        .filter((line) => line.startsWith(`${name} `))
        .map((line) => line.slice(name.length + 1).trim());
    expect(of('FROM').at(-1)).toBe('node:22-bookworm-slim');
    expect(of('USER')).toEqual(['10001:10001']);
    expect(lines.findIndex((line) => line.startsWith('USER'))).toBeGreaterThan(
      lines.findLastIndex((line) => line.startsWith('RUN')),
    );
    for (const copy of of('COPY').filter((line) => !line.startsWith('--from'))) {
      for (const source of copy.split(/\s+/).slice(0, -1))
        expect(existsSync(join(ROOT, source)), source).toBe(true);
    }
    const command = [
      ...(JSON.parse(of('ENTRYPOINT')[0] ?? '[]') as string[]),
      ...(JSON.parse(of('CMD')[0] ?? '[]') as string[]),
    ];
    expect(command.slice(0, 3)).toEqual(['/usr/bin/tini', '--', 'tidemark']);
    expect(await faultOf(command.slice(3))).toBeNull();
    expect(of('EXPOSE')).toEqual(['8080 9790 9791']);
    expect(of('HEALTHCHECK')[0]).toContain('/opt/tidemark/healthcheck.mjs');
  });

  it('docker: the health check says what the service says', async () => {
    let status = 200;
    const server = createServer((_, response) => response.writeHead(status).end('{"reasons":[]}'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const check = async (url: string): Promise<unknown> => {
      const env = { ...process.env, TIDEMARK_HEALTH_URL: url };
      const script = join(ROOT, 'deploy/docker/healthcheck.mjs');
      const [code] = (await once(
        spawn(process.execPath, [script], { env, stdio: 'ignore' }),
        'exit',
      )) as unknown[];
      return code;
    };
    try {
      expect(await check(`http://127.0.0.1:${port.toString()}/readyz`)).toBe(0);
      status = 503;
      expect(await check(`http://127.0.0.1:${port.toString()}/readyz`)).toBe(1);
    } finally {
      server.close();
      server.closeAllConnections();
    }
    expect(await check(`http://127.0.0.1:${port.toString()}/readyz`)).toBe(1);
  });
});
