import { refuseUnverified } from '@tidemark/core';
import { KeyDirectory, openKeys } from '@tidemark/crypto';
import { openFileStore, openStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { serveFeeder } from './feeder/process/serve-feeder.ts';

/** How long the end may take once the restore is gone. */
const END_MS = 3_000;
/** Who is told to end tells the restore first: it ends this process with its input. */
const GRACE_MS = 500;

/**
 * The feeding process: opens what is sealed and feeds it into one target, as it is told on its
 * standard input, and ends with that. It opens no database and writes no file.
 */
async function main(): Promise<number> {
  // Ctrl-C reaches a whole group of processes; the restore decides what it means.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => void setTimeout(() => process.exit(143), GRACE_MS));
  // Nobody listens any more.
  process.stdout.on('error', () => process.exit(1));
  process.stdin.once('end', () => void setTimeout(() => process.exit(1), END_MS));
  const ports = { clock: systemClock, random: systemRandom };
  const { clock, random } = ports;
  await serveFeeder({
    input: process.stdin as AsyncIterable<Buffer>,
    write: (line) => void process.stdout.write(line),
    monotonicMs: () => clock.monotonicMs(),
    open: async ({ store, keys, instance, instanceKeys }) => {
      refuseUnverified(process.env);
      const directory = new KeyDirectory();
      directory.set(instance, instanceKeys);
      return {
        // Without the right to write, a folder is taken as it is.
        store: await (store.kind === 'file'
          ? openFileStore({ root: store.root, random, readOnly: true })
          : openStore(store, ports)),
        keys: await openKeys(keys, { ...ports, directory }),
        clock,
      };
    },
  });
  return 0;
}

process.exit(await main());
