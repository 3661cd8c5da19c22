import type { RequestRate } from '@tidemark/archiver';
import { UsageError } from '@tidemark/core';
import { formatBytes } from '../output/table.ts';

/** Flags that state prices, US dollars. */
export interface PriceFlags {
  readonly pricePut?: string;
  readonly priceGet?: string;
  readonly priceStorage?: string;
}

/** What a store charges, US dollars. */
export interface Prices {
  /** For 1,000 PUT, POST and LIST requests. */
  readonly putPer1000: number;
  /** For 1,000 GET and HEAD requests. */
  readonly getPer1000: number;
  /** For a GiB stored for a month. */
  readonly gibMonth: number;
}

/** What is asked of the store for an instance, and what that comes to in 30 days, US dollars. */
export interface StoreCost {
  readonly requests: RequestRate | null;
  readonly storedBytes: number;
  readonly requestsPerMonth: number | null;
  readonly storagePerMonth: number;
}

/** S3 Standard in us-east-1 (aws.amazon.com/s3/pricing, 2025). */
const LIST_PRICES: Prices = { putPer1000: 0.005, getPer1000: 0.0004, gibMonth: 0.023 };

const MONTH_DAYS = 30;

/** @throws UsageError `TM_USAGE` for what is no price. */
export function pricesOf(flags: PriceFlags): Prices {
  return {
    putPer1000: priceOf('--price-put', flags.pricePut, LIST_PRICES.putPer1000),
    getPer1000: priceOf('--price-get', flags.priceGet, LIST_PRICES.getPer1000),
    gibMonth: priceOf('--price-storage', flags.priceStorage, LIST_PRICES.gibMonth),
  };
}

/** Whether a price was stated: then a cost is shown for a store that charges nothing, too. */
export function statesPrice(flags: PriceFlags): boolean {
  return [flags.pricePut, flags.priceGet, flags.priceStorage].some((price) => price !== undefined);
}

function priceOf(flag: string, text: string | undefined, usual: number): number {
  if (text === undefined) return usual;
  if (/^\d{1,9}(\.\d{1,9})?$/.test(text)) return Number(text);
  throw new UsageError('TM_USAGE', `${flag} ${JSON.stringify(text)} is no price in US dollars`, {
    hint: 'such as 0.005',
  });
}

/** What it comes to. */
export function costOf(
  requests: RequestRate | null,
  storedBytes: number,
  prices: Prices,
): StoreCost {
  const perDay =
    requests === null
      ? null
      : (requests.putPerDay * prices.putPer1000 + requests.getPerDay * prices.getPer1000) / 1000;
  return {
    requests,
    storedBytes,
    requestsPerMonth: perDay === null ? null : cents(perDay * MONTH_DAYS),
    storagePerMonth: cents((storedBytes / 1024 ** 3) * prices.gibMonth),
  };
}

/** The requests of an instance, in one line. */
export function requestLine(instance: string, requests: RequestRate | null): string {
  if (requests === null) return `${instance}: requests to the store are not counted yet`;
  const { putPerDay, getPerDay, overSeconds } = requests;
  const [put, get] = [putPerDay, getPerDay].map((count) => count.toLocaleString('en-US'));
  return `${instance}: ${put} PUT and ${get} GET a day (counted for ${spanText(overSeconds)})`;
}

/** The cost of an instance, in one line, with the prices that it is reckoned with. */
export function costLine(instance: string, cost: StoreCost, prices: Prices): string {
  const { requestsPerMonth, storagePerMonth, storedBytes } = cost;
  const { putPer1000, getPer1000, gibMonth } = prices;
  const requests =
    requestsPerMonth === null
      ? 'requests not known yet'
      : `$${requestsPerMonth.toFixed(2)} for requests ($${putPer1000} and $${getPer1000} for 1,000)`;
  return (
    `${instance}: in 30 days about ${requests}, $${storagePerMonth.toFixed(2)} for ` +
    `${formatBytes(storedBytes)} of history ($${gibMonth} for a GiB)`
  );
}

function cents(dollars: number): number {
  return Math.round(dollars * 100) / 100;
}

function spanText(seconds: number): string {
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3_600)} h`;
}
