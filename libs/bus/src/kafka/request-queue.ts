import RequestQueue from 'kafkajs/src/network/requestQueue/index.js';

type Queue = typeof RequestQueue.prototype;

/** How often a request that waits for its turn is looked at. */
const CHECK_MS = 10;

/**
 * kafkajs 2.2.4 sets a timer after every answer, of the negative length `-1 - now` when nothing waits:
 * Node 22 and newer say so on standard error (TimeoutNegativeWarning), and every answer costs a turn.
 * This one sets a timer when there is something to look at.
 */
export function correctRequestQueue(): void {
  RequestQueue.prototype.scheduleCheckPendingRequests = scheduleCheck;
}

function scheduleCheck(this: Queue): void {
  if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return;
  const waitMs = Math.max(CHECK_MS, this.throttledUntil - Date.now());
  this.throttleCheckTimeoutId = setTimeout(() => {
    this.throttleCheckTimeoutId = null;
    this.checkPendingRequests();
  }, waitMs);
}
