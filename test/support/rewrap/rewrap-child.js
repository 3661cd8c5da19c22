import { openInstanceLog } from '@tidemark/catalog';
import { openKeyRing } from '@tidemark/crypto';
import { rewrapKeys } from '@tidemark/restorer';
import { openFileStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';

// rewrap-child.js <instance> <store> <ring> <changes>: wraps every data key with the newest version of
// the ring, and kills itself right after so many changes of the store (0: right before the first).
// It runs what was built: to read the sources of all packages would take seconds each time.
const [instance = '', root = '', ringDir = '', changes = ''] = process.argv.slice(2);
const ports = { clock: systemClock, random: systemRandom };
const keys = await openKeyRing({ dir: ringDir, ...ports });
const inner = await openFileStore({ root, random: systemRandom });
let left = Number(changes);

/** One change is made; the process does not live to see it where it was the last one. */
async function counted(change) {
  if (left === 0) process.kill(process.pid, 'SIGKILL');
  const done = await change();
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
  return done;
}

const store = {
  url: inner.url,
  get: (key, options) => inner.get(key, options),
  head: (key) => inner.head(key),
  list: (prefix, options) => inner.list(prefix, options),
  putIfAbsent: (key, body, options) => counted(() => inner.putIfAbsent(key, body, options)),
  delete: (key) => counted(() => inner.delete(key)),
};
const logKey = await keys.logKey(instance);
const log = await openInstanceLog({ ...ports, store: inner, iid: instance, logKey });
const report = await rewrapKeys({
  ...{ instance, store, keys, log, signal: new AbortController().signal },
  target: { provider: 'ring', keyId: keys.ringId },
  onProgress: () => undefined,
});
process.stdout.write(JSON.stringify(report));
