import { afterAll, vi } from 'vitest';

// Files of a project without isolation share a process: what one sets there ends with the file.
const found = { ...process.env };
afterAll(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  for (const name of Object.keys(process.env)) {
    if (!(name in found)) Reflect.deleteProperty(process.env, name);
  }
  Object.assign(process.env, found);
});
