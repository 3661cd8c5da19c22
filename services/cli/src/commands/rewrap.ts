import { refuseRewrapFaults, rewrapInstance } from '@tidemark/control';
import type { WrappingKey } from '@tidemark/crypto';
import type { RewrapReport } from '@tidemark/restorer';
import { systemClock } from '@tidemark/system';
import { Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';

/** Flags of `tde rewrap`. */
export interface RewrapFlags {
  readonly kmsKey?: string;
}

/** Wraps every data key of an instance with another key, or with the newest version of its key. */
export async function rewrapCommand(
  id: string,
  flags: RewrapFlags,
  invocation: Invocation,
): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const { signal, printer } = invocation;
  await workspace.sync(signal, id);
  const { target, report } = await rewrapInstance(id, flags.kmsKey, {
    ...{ workspace, signal, clock: systemClock },
    onProgress: (done) => printer.progress(`${done.toString()} data keys`),
    warn: (message) => printer.warn(message),
  });
  printer.result({ instance: id, key: target, ...report }, () => linesOf(target, report));
  refuseRewrapFaults(id, report);
}

function linesOf({ provider, keyId }: WrappingKey, report: RewrapReport): readonly string[] {
  const { keys, rewrapped, present, untested, removed, faults, faultCount } = report;
  return [
    `${keys.toString()} data keys: ${rewrapped.toString()} wrapped anew with ${provider} ${keyId}, ` +
      `${present.toString()} were before; ${removed.toString()} older generations removed`,
    ...(untested === 0
      ? []
      : [
          `${untested.toString()} were not opened for a test: this identity may not decrypt. Their older`,
          'generations stay; run it again where decrypting is allowed.',
        ]),
    ...faults.map(({ dekId, message, code }) => `NOT DONE ${dekId}: ${message} (${code})`),
    ...(faultCount > faults.length ? [`and ${(faultCount - faults.length).toString()} more`] : []),
  ];
}
