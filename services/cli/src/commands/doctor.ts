import { probeAofDir } from '@tidemark/aof';
import { attempt, nodeFindings, type Finding } from '@tidemark/control';
import { KeyError, TidemarkError } from '@tidemark/core';
import { describeUsable } from '@tidemark/crypto';
import { probeStore, refusalOf, type StoreCapabilities } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { countOf } from '../output/count.ts';
import { sharesDevice } from '../files/shares-device.ts';

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
    sharesDevice(config.keys.ringDir, config.store)
      ? {
          ...{ check: 'devices', ok: true, warning: true },
          detail: 'key ring and store share a device: keep a copy of the ring elsewhere',
        }
      : { check: 'devices', ok: true, detail: 'apart' },
    await attempt('history', async () => {
      await workspace.sync(signal);
      return `${countOf(workspace.catalog.instances().length, 'instance')} in the store`;
    }),
    await attempt('archiver', async () => {
      const answer = await workspace.askArchiver('status', null, { timeoutMs: 5_000, signal });
      if (answer === null) {
        throw new TidemarkError('TM_ARCHIVER_DOWN', 'not running: nothing is captured');
      }
      return 'running';
    }),
  ];
  const filesOf = async (dir: string): Promise<string> =>
    `pins ${(await probeAofDir(dir)).pinClass}`;
  const look = { configPath: config.path, clock: systemClock, signal, filesOf };
  for (const entry of config.instances) {
    findings.push(...(await nodeFindings(entry, look)));
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
