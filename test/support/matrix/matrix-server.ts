import {
  findServer,
  newestServer,
  whyMissing,
  type ServerBinary,
  type ServerProduct,
} from '../servers.ts';

/** A row and a column of the matrix. */
export const MATRIX_SERVERS = [
  'redis 6.0',
  'redis 7.0',
  'redis 8.0',
  'redis newest',
  'valkey 8.1',
  'valkey newest',
] as const;

/** A server of the matrix by its name. */
export type MatrixServer = (typeof MATRIX_SERVERS)[number];

/** What is written to a source. */
export const DATASETS = ['common', 'full'] as const;

/** `common`: what every server since 6.0 can hold. `full`: all that the source can hold. */
export type Dataset = (typeof DATASETS)[number];

const FIELD_EXPIRY_FROM = { redis: 7_04_00, valkey: 9_00_00 } as const;
const FUNCTIONS_FROM = 7_00_00;
/** Redis 8.0 and Valkey 9.0 log how far a group has read; earlier ones lose it at a restart too. */
const GROUP_COUNTERS_FROM = { redis: 8_00_00, valkey: 9_00_00 } as const;
const CONSUMERS_LOGGED = { from: 6_02_00, to: 7_02_00 };
const SHORT_SCORES_FROM = 7_02_00;
const IDEMPOTENT_STREAMS_FROM = 8_06_00;

/** What a server of the matrix can do. */
export interface Capabilities {
  readonly product: ServerProduct;
  /** Comparable form, e.g. 80006. */
  readonly version: number;
  readonly fieldExpiry: boolean;
  readonly functions: boolean;
  readonly groupCounters: boolean;
  readonly idempotentStreams: boolean;
  /**
   * Every consumer is logged. 6.0 does not log one that a read without acknowledgement makes, 7.2 and
   * newer not one that a read makes which finds nothing (docs/promises.md).
   */
  readonly logsConsumers: boolean;
  /** DEBUG DIGEST takes scores in their shortest form; 7.0 and older take 17 digits. */
  readonly shortScores: boolean;
  /** Before 6.2: neither CLIENT PAUSE for writes nor a command for the time of an expiry. */
  readonly old: boolean;
}

/** The program of a server, or null; `newest` is one that no other name of the matrix takes. */
export function matrixBinary(name: MatrixServer): ServerBinary | null {
  const [product, line] = split(name);
  if (line !== 'newest') return findServer(product, line);
  const newest = newestServer(product);
  const others = MATRIX_SERVERS.map(split).filter(([, other]) => other !== 'newest');
  return others.some(([, other]) => newest?.name === `${product} ${other}`) ? null : newest;
}

/** Why a server of the matrix is not there. */
export function whyNoBinary(name: MatrixServer): string {
  return whyMissing(...split(name));
}

/** What a program can do, by its version. */
export function capabilitiesOf({ product, version }: ServerBinary): Capabilities {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
  const number = major * 1_00_00 + minor * 1_00 + patch;
  return {
    product,
    version: number,
    fieldExpiry: number >= FIELD_EXPIRY_FROM[product],
    functions: number >= FUNCTIONS_FROM,
    groupCounters: number >= GROUP_COUNTERS_FROM[product],
    idempotentStreams: product === 'redis' && number >= IDEMPOTENT_STREAMS_FROM,
    logsConsumers: number >= CONSUMERS_LOGGED.from && number < CONSUMERS_LOGGED.to,
    shortScores: number >= SHORT_SCORES_FROM,
    old: number < 6_02_00,
  };
}

function split(name: MatrixServer): [ServerProduct, string] {
  const [product, line = ''] = name.split(' ');
  return [product === 'valkey' ? 'valkey' : 'redis', line];
}
