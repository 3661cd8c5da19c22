import { openStore, type StoreSettings } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';

/** How a process of its own opens the store under test. */
export type StoreChildSpec = StoreSettings;

const CHUNK = Buffer.alloc(256 * 1024, 0xab);

/** Never ends: the parent kills this process in the middle. */
async function* endless(): AsyncGenerator<Uint8Array> {
  for (let count = 1; ; count++) {
    yield CHUNK;
    if (count === 16) process.stdout.write('writing\n');
    await new Promise((resolve) => setTimeout(resolve, count > 16 ? 50 : 0));
  }
}

const [specJson = '', key = ''] = process.argv.slice(2);
const spec = JSON.parse(specJson) as StoreChildSpec;
const store = await openStore(spec, { random: systemRandom, clock: systemClock });
await store.putIfAbsent(key, endless());
