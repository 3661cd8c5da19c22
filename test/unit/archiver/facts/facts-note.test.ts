import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  fingerprintOf,
  readNote,
  writeNote,
} from '../../../../services/archiver/src/facts/facts-note.ts';
import { LOG_KEY, OTHER_LOG_KEY } from '../../../support/log-events.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const JSON_BYTES = Buffer.from('{"a":1}');
const NOTE = {
  ...{ writer: 'w-1', generation: 7, fingerprint: 'ab'.repeat(32) },
  storedMs: 1_795_000_000_000,
};

describe('the note on stored facts', () => {
  it('comes back as it was written, readable by its owner alone', async () => {
    await using dir = await TempDir.create();
    const path = join(dir.path, 'facts');
    await writeNote(path, { ...NOTE, generation: 6 });
    await writeNote(path, NOTE);
    expect(await readNote(path)).toEqual(NOTE);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('that is missing, torn or something else is none', async () => {
    await using dir = await TempDir.create();
    const path = join(dir.path, 'facts');
    expect(await readNote(path)).toBeNull();
    await writeNote(path, NOTE);
    const whole = await readFile(path, 'utf8');
    for (const text of [whole.slice(0, -1), `${whole}x`, '', 'w-1 7 xyz\n']) {
      await writeFile(path, text);
      expect(await readNote(path)).toBeNull();
    }
  });

  it('has a fingerprint that nobody without the log key can make', () => {
    const ours = fingerprintOf(JSON_BYTES, LOG_KEY);
    expect(ours).toMatch(/^[0-9a-f]{64}$/);
    expect(fingerprintOf(JSON_BYTES, LOG_KEY)).toBe(ours);
    expect(fingerprintOf(JSON_BYTES, OTHER_LOG_KEY)).not.toBe(ours);
    expect(fingerprintOf(Buffer.from('{"a":2}'), LOG_KEY)).not.toBe(ours);
  });
});
