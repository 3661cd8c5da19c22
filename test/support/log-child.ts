import { openCatalog, openWriterLog } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import { openFileStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { syncTest } from './catalog-harness.ts';
import { LOG, LOG_KEY } from './log-events.ts';

// A process that owns the writer log of the tests, or brings a catalog up to date, until it is
// stopped. It says on standard output what it has done:
//   log-child.ts own <store root> <owner id> <take over: yes|no>   -> "claimed G", "seq N" …
//   log-child.ts sync <store root> <catalog path>                  -> "synced" …
const [work, root = '', name = '', takeOver] = process.argv.slice(2);
const store = await openFileStore({ root, random: systemRandom, durable: false });
const say = (line: string): void => void process.stdout.write(`${line}\n`);

try {
  if (work === 'own') await own();
  else await sync();
} catch (error) {
  if (!(error instanceof TidemarkError)) throw error;
  say(error.code);
  process.exit(error.exitCode);
}

async function own(): Promise<void> {
  const ports = { store, logKey: LOG_KEY, clock: systemClock, random: systemRandom };
  const log = await openWriterLog({ ...LOG, ...ports });
  await log.claim({ ownerId: name, takeOver: takeOver === 'yes' });
  say(`claimed ${String(log.generation)}`);
  for (;;) {
    const atMs = systemClock.nowMs();
    const seq = await log.append({
      type: 'Heartbeat',
      timeline: null,
      offset: 0n,
      provenTo: null,
      atMs,
    });
    say(`seq ${seq}`);
    await systemClock.sleep(2);
  }
}

async function sync(): Promise<void> {
  for (;;) {
    using catalog = openCatalog({ path: name });
    await syncTest(catalog, store);
    say('synced');
  }
}
