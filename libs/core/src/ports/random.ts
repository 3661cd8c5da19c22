/** The only way to random bytes. The adapter draws from the operating system. */
export interface Random {
  /**
   * @param byteCount - How many bytes.
   * @returns Fresh bytes fit for keys and salts.
   */
  bytes(byteCount: number): Buffer;
}
