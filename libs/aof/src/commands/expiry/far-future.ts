/** A time beyond any other, within what the servers take for keys (year 9999). */
export const FAR_FUTURE_MS = 253_402_300_799_999;
