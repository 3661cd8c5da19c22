import { probeAofDir } from '@tidemark/aof';
import { connectNode, readNodeFacts, takeSample } from '@tidemark/client';
import { KeyError, TidemarkError } from '@tidemark/core';
import { describeUsable } from '@tidemark/crypto';
import { probeStore, refusalOf, type StoreCapabilities } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { type InstanceEntry, instanceTarget, locateNode, Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { sharesDevice } from '../files/shares-device.ts';
import { checkPsyncNode } from './psync-node.ts';
import { findingText, sourceFindings } from './source-findings.ts';

/** Largest difference between the clocks of host and node that is not remarked on. */
const CLOCK_SKEW_MS_MAX = 1_000;

interface Finding {
  readonly check: string;
  readonly ok: boolean;
  /** Nothing is broken, but something is to be thought of. */
  readonly warning?: boolean;
  readonly detail: string;
}

/** Checks configuration, keys, store, archiver, nodes and clocks; says what is wrong with each. */
export async function diagnose(invocation: Invocation): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const { config } = workspace;
  const { signal } = invocation;
  const findings: Finding[] = [
    { check: 'configuration', ok: true, detail: config.path },
    { check: 'key ring', ok: true, detail: config.keys.ringDir },
    ...(await keyFindings(workspace)),
    ...(await storeFindings(workspace, signal)),
    await attempt('devices', () =>
      Promise.resolve(
        sharesDevice(config.keys.ringDir, config.store)
          ? 'key ring and store share a device: keep a copy of the ring elsewhere'
          : 'apart',
      ),
    ),
    await attempt('archiver', async () => {
      const answer = await workspace.askArchiver('status', null, { timeoutMs: 5_000, signal });
      if (answer === null) {
        throw new TidemarkError('TM_ARCHIVER_DOWN', 'not running: nothing is captured');
      }
      return 'running';
    }),
  ];
  for (const entry of config.instances) {
    findings.push(...(await nodeFindings(entry, config.path, signal)));
  }
  const healthy = findings.every(({ ok }) => ok);
  invocation.printer.result({ healthy, findings }, () =>
    findings.map(
      ({ check, ok, warning = false, detail }) =>
        `${ok ? (warning ? 'warn' : 'ok  ') : 'FAIL'}  ${check}: ${detail}`,
    ),
  );
  if (!healthy) process.exitCode = 1;
}

async function attempt(check: string, work: () => Promise<string>): Promise<Finding> {
  try {
    return { check, ok: true, detail: await work() };
  } catch (cause) {
    if (!(cause instanceof TidemarkError)) throw cause;
    const hint = cause.hint === undefined ? '' : ` (${cause.hint})`;
    return { check, ok: false, detail: `${cause.message}${hint}` };
  }
}

/** The key that data keys are wrapped with, and what the identity of this command may do with it. */
async function keyFindings({ keys, config }: Workspace): Promise<readonly Finding[]> {
  if (config.keys.provider === 'ring') return [];
  const { kmsKeyId } = config.keys;
  return [
    await attempt('key', async () => {
      const { keyId, rotation } = await describeUsable(await keys.adminOf('aws-kms'), kmsKeyId);
      const turns = rotation === null ? '' : `, rotation ${rotation.enabled ? 'on' : 'OFF'}`;
      return `${keyId}: enabled${turns}`;
    }),
    await attempt('key rights', async () => {
      const key = await keys.defaultKey();
      const { state, failed } = await (await keys.adminOf('aws-kms')).authorization(key, 'doctor');
      if (state === 1) return 'data keys can be made and opened';
      if (failed.every(({ action }) => action === 'kms:Decrypt')) {
        return 'data keys can be made, not opened: right for an archiver, a restore needs kms:Decrypt';
      }
      throw new KeyError(
        state === 2 ? 'TM_KEY_SERVICE' : 'TM_KEY_DENIED',
        failed.map(({ action, reason }) => `${action}: ${reason}`).join('; '),
        { hint: 'see docs/kms.md for the rights of each identity' },
      );
    }),
  ];
}

/** What the store really does, by trying it, and settings of its own that would lose data. */
async function storeFindings({ store }: Workspace, signal: AbortSignal): Promise<Finding[]> {
  let warnings: readonly string[] = [];
  const finding = await attempt('store', async () => {
    const found = await probeStore(store, { random: systemRandom, signal });
    warnings = found.warnings;
    const refusal = refusalOf(found);
    if (refusal !== null) throw refusal;
    return `${store.url}: ${capabilityText(found)}`;
  });
  return [
    finding,
    ...warnings.map((detail) => ({ check: 'store settings', ok: true, warning: true, detail })),
  ];
}

const PARTS_TEXT: Readonly<Record<StoreCapabilities['multipartConditional'], string | null>> = {
  holds: 'in parts too',
  sequential: 'in parts only one after another',
  none: 'not in parts',
  unused: null,
};

function capabilityText(found: StoreCapabilities): string {
  const parts = PARTS_TEXT[found.multipartConditional];
  const known = (name: string, has: boolean | null): string =>
    `${name} ${has === null ? 'unknown' : has ? 'yes' : 'no'}`;
  return [
    `conditional create holds${parts === null ? '' : ` (${parts})`}`,
    'ranges yes',
    'listing in byte order',
    known('object lock', found.objectLock),
    known('versioning', found.versioning),
  ].join(', ');
}

/** Whether a node can be captured, and settings of its own that do not fit what it writes. */
async function nodeFindings(
  entry: InstanceEntry,
  configPath: string,
  signal: AbortSignal,
): Promise<Finding[]> {
  const check = `node ${entry.id}`;
  const warnings: string[] = [];
  const finding = await attempt(check, () =>
    tryNode(entry, { configPath, signal, warn: (detail) => warnings.push(detail) }),
  );
  return [finding, ...warnings.map((detail) => ({ check, ok: true, warning: true, detail }))];
}

async function tryNode(
  entry: InstanceEntry,
  how: {
    readonly configPath: string;
    readonly signal: AbortSignal;
    readonly warn: (detail: string) => void;
  },
): Promise<string> {
  const { configPath, signal, warn } = how;
  const target = await instanceTarget(entry, configPath);
  using _certificates = target.address.tls;
  await using client = await connectNode(await locateNode(target, signal), { signal });
  const facts = await readNodeFacts(client);
  const before = systemClock.nowMs();
  const sample = await takeSample(client);
  const halfTripMs = (systemClock.nowMs() - before) / 2;
  const skewMs = Math.abs(sample.timeUs / 1000 - (before + halfTripMs));
  const skew =
    skewMs > CLOCK_SKEW_MS_MAX ? `; its clock is ${Math.round(skewMs).toString()} ms off ours` : '';
  if (target.aofDir === undefined) {
    await checkPsyncNode(client);
    for (const found of await sourceFindings(client, facts, signal)) warn(findingText(found));
    return `${facts.product} ${facts.version} (${facts.role}), captured by replication${skew}`;
  }
  if (!sample.aofEnabled) {
    throw new TidemarkError('TM_AOF_OFF', 'the append-only file is off', {
      hint: 'redis-cli CONFIG SET appendonly yes',
    });
  }
  const probe = await probeAofDir(target.aofDir);
  const stamps = facts.config?.['aof-timestamp-enabled'] === 'yes' ? 'on' : 'OFF';
  return `${facts.product} ${facts.version}, pins ${probe.pinClass}, time stamps ${stamps}${skew}`;
}
