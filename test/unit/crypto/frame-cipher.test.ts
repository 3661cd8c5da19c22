import { FrameCipher, parseFrameHead } from '@tidemark/crypto';
import { expect, it } from 'vitest';

it('a frame cipher whose keys are gone neither seals nor opens', () => {
  const dataKey = { id: '0'.repeat(32), key: Buffer.alloc(32, 1) };
  const header = Buffer.from('header');
  const cipher = new FrameCipher({ dataKey, header, salt: Buffer.alloc(32, 2) });
  const plain = Buffer.from('plain');
  const frame = Buffer.concat(cipher.seal(0, 1, plain));
  const head = parseFrameHead(frame);
  expect(cipher.open(frame, head)).toEqual(plain);
  cipher.destroy();
  const gone = expect.objectContaining({ code: 'TM_INTERNAL' }) as Error;
  expect(() => cipher.seal(1, 1, plain)).toThrow(gone);
  expect(() => cipher.open(frame, head)).toThrow(gone);
});
