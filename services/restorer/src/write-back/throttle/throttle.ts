/** Holds back what is sent to a server that has other work to do. */
export interface Throttle {
  /** Waits until `commands` more commands of `bytes` may go to the server. */
  take(commands: number, bytes: number): Promise<void>;
  /** Tells how long the server took for a batch sent, in milliseconds. */
  note(latencyMs: number): void;
}

/** For a server that is ours alone. */
export const NO_THROTTLE: Throttle = {
  take: () => Promise.resolve(),
  note: () => undefined,
};
