import { Crc64 } from '@tidemark/core';

const START = Buffer.from('REDIS0009\xff', 'latin1');

/**
 * The RDB of an empty dataset: header, end, checksum. Version 9 is the oldest that any server writes
 * whose log is captured, so that every target loads it.
 */
export const EMPTY_RDB: Buffer = Buffer.concat([START, checksum()]);

function checksum(): Buffer {
  const crc = new Crc64();
  crc.update(START);
  return crc.digestBytes();
}
