import { MemoryStore } from '../support/memory-store.ts';
import { TempDir } from '../support/temp-dir.ts';
import { describeObjectStore } from './object-store-suite.ts';

// The store that simulations run on keeps the laws of the real ones. It has no other processes:
// the one that is killed in the middle of a put writes to a folder that nobody reads.
describeObjectStore('the store in memory', async () => {
  const dir = await TempDir.create();
  return {
    store: new MemoryStore(),
    child: { kind: 'file', root: dir.path },
    dispose: () => dir[Symbol.asyncDispose](),
  };
});
