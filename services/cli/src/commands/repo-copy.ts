import { UsageError } from '@tidemark/core';
import { collectStray, copyObjects, openStore, probeStore, refusalOf } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import {
  loadConfig,
  parseDuration,
  type StoreFlags,
  storeSettings,
  storeTable,
} from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { countOf } from '../output/count.ts';
import { formatBytes } from '../output/table.ts';

/** Flags of `tidemark repo copy`. */
export interface CopyFlags extends StoreFlags {
  readonly to: string;
  readonly verify?: boolean;
}

/** Entries of logs and checkpoints name objects. */
const NAMES_OTHERS = /\/(log|checkpoint)\/\d{20}$/;
const ports = { random: systemRandom, clock: systemClock };

/** Copies every object to another store, sealed as it is; the keys are not needed and not copied. */
export async function copyRepo(flags: CopyFlags, invocation: Invocation): Promise<void> {
  const { printer, signal } = invocation;
  const config = await loadConfig(invocation.configPath);
  const source = await openStore(config.store, ports);
  const target = await openStore(storeSettings(storeTable(flags.to, flags), process.cwd()), ports);
  if (target.url === source.url) {
    throw new UsageError('TM_USAGE', 'a store cannot be copied to itself', {
      hint: 'name another bucket or another prefix with --to',
    });
  }
  const refusal = refusalOf(await probeStore(target, { random: systemRandom, signal }));
  if (refusal !== null) throw refusal;
  const found = await copyObjects({
    source,
    target,
    prefix: 'v1/',
    namesOthers: (key) => NAMES_OTHERS.test(key),
    // Whoever holds a lease holds it in one store.
    isLeftOut: (key) => key.startsWith('v1/lease/'),
    verify: flags.verify === true,
    onProgress: ({ objects, bytes, copied }) =>
      printer.progress(
        `${countOf(objects, 'object')}, ${formatBytes(bytes)}; ${copied.toString()} copied`,
      ),
    signal,
  });
  printer.result({ from: source.url, to: target.url, ...found }, () => [
    `${countOf(found.objects, 'object')}, ${formatBytes(found.bytes)} in ${target.url}`,
    `${found.copied.toString()} copied now (${formatBytes(found.copiedBytes)}), ` +
      `${found.kept.toString()} were there, ${found.verified.toString()} compared byte by byte`,
    `open it with the same key ring: tidemark init --dir DIR --adopt ${target.url} --keyring RING`,
  ]);
}

/** Removes what uploads that were never completed have left in the store. */
export async function collectRepo(
  flags: { readonly olderThan: string },
  invocation: Invocation,
): Promise<void> {
  const olderThanMs = parseDuration(flags.olderThan, '--older-than');
  const config = await loadConfig(invocation.configPath);
  const store = await openStore(config.store, ports);
  const beforeMs = systemClock.nowMs() - olderThanMs;
  const collected = await collectStray(store, { beforeMs, signal: invocation.signal });
  invocation.printer.result({ store: store.url, collected }, () => [
    `${collected.toString()} uploads that were never completed were removed`,
  ]);
}
