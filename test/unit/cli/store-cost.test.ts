import { UsageError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import {
  costLine,
  costOf,
  pricesOf,
  requestLine,
  statesPrice,
} from '../../../services/cli/src/commands/store-cost.ts';

const rate = { putPerDay: 86_400, getPerDay: 1_000, overSeconds: 7_300 };
const GIB = 1024 ** 3;

describe('the cost of a store', () => {
  it('is that of a month of the requests that were counted, and of what is stored', () => {
    const cost = costOf(rate, 100 * GIB, pricesOf({}));
    // 86,400 x 30 x 0.005 / 1,000, and 1,000 x 30 x 0.0004 / 1,000.
    expect(cost).toMatchObject({ requestsPerMonth: 12.97, storagePerMonth: 2.3 });
    expect(requestLine('orders', rate)).toBe(
      'orders: 86,400 PUT and 1,000 GET a day (counted for 2 h)',
    );
    expect(costLine('orders', cost, pricesOf({}))).toBe(
      'orders: in 30 days about $12.97 for requests ($0.005 and $0.0004 for 1,000), $2.30 for 100.0 GiB of history ($0.023 for a GiB)',
    );
  });

  it('goes by the prices that are stated', () => {
    const flags = { pricePut: '0.01', priceGet: '0', priceStorage: '1' };
    expect(statesPrice(flags)).toBe(true);
    expect(statesPrice({})).toBe(false);
    const cost = costOf(rate, GIB, pricesOf(flags));
    expect(cost).toMatchObject({ requestsPerMonth: 25.92, storagePerMonth: 1 });
  });

  it('does not guess before requests were counted', () => {
    const cost = costOf(null, 0, pricesOf({}));
    expect(cost.requestsPerMonth).toBeNull();
    expect(requestLine('orders', null)).toContain('not counted yet');
    expect(costLine('orders', cost, pricesOf({}))).toContain('requests not known yet');
  });

  it.each(['', '-1', '1e3', 'cheap', '0.', '1,5'])('refuses %j as a price', (pricePut) => {
    expect(() => pricesOf({ pricePut })).toThrow(UsageError);
    expect(() => pricesOf({ pricePut })).toThrow(/--price-put/);
  });
});
