import { openFileStore } from '@tidemark/store';
import { systemRandom } from '@tidemark/system';
import { TempDir } from '../support/temp-dir.ts';
import { describeObjectStore } from './object-store-suite.ts';

describeObjectStore('a store in a folder', async () => {
  const temp = await TempDir.create();
  const store = await openFileStore({ root: temp.path, random: systemRandom, durable: false });
  return {
    store,
    child: { kind: 'file', root: temp.path },
    dispose: () => temp[Symbol.asyncDispose](),
  };
});
