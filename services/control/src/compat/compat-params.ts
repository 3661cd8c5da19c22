import { parseTime } from '@tidemark/workspace';
import { TidemarkError } from '@tidemark/core';
import { CompatError } from './compat-error.ts';

/** Parameters that every call of the managed service may have; they mean nothing here. */
const PUBLIC = new Set([
  ...['Action', 'Format', 'Version', 'AccessKeyId', 'Signature', 'SignatureMethod', 'Timestamp'],
  ...['SignatureVersion', 'SignatureNonce', 'SecurityToken', 'RegionId', 'ResourceOwnerAccount'],
  ...['ResourceOwnerId', 'OwnerAccount', 'OwnerId', 'ResourceGroupId', 'Token', 'ClientToken'],
]);

const INSTANCE = /^[a-z0-9][a-z0-9-]{0,62}$/;
const VALUE_MAX = 65_536;

/** Parameters of one call, read and checked. */
export class CompatParams {
  readonly #values: Readonly<Record<string, string>>;

  /** @throws CompatError `InvalidParameter` for one that the action does not have. */
  constructor(values: Readonly<Record<string, string>>, allowed: readonly string[]) {
    this.#values = values;
    for (const [name, value] of Object.entries(values)) {
      if (!PUBLIC.has(name) && !allowed.includes(name)) {
        throw invalid(name.slice(0, 64), 'is no parameter of this action');
      }
      if (value.length > VALUE_MAX) throw invalid(name.slice(0, 64), 'is too long');
    }
  }

  /** Undefined: not given, or empty. */
  text(name: string): string | undefined {
    const value = this.#values[name];
    return value === '' ? undefined : value;
  }

  /** @throws CompatError `MissingParameter`. */
  required(name: string): string {
    const value = this.text(name);
    if (value !== undefined) return value;
    throw new CompatError(`MissingParameter`, 400, `${name} is missing`);
  }

  /** The id of an instance. */
  instance(name = 'InstanceId'): string {
    const id = this.required(name);
    if (INSTANCE.test(id)) return id;
    throw new CompatError('InvalidInstanceId.Malformed', 400, `${name} is no id of an instance`);
  }

  /** One of some words. */
  oneOf<T extends string>(name: string, words: readonly T[]): T | undefined {
    const value = this.text(name);
    const found = words.find((word) => word === value);
    if (value === undefined || found !== undefined) return found;
    throw invalid(name, `is not one of ${words.join(', ')}`);
  }

  /** A whole number, at least 1. */
  count(name: string, usual: number, most: number): number {
    const text = this.text(name);
    if (text === undefined) return usual;
    const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
    if (value >= 1 && value <= most) return value;
    throw invalid(name, `is not a number from 1 to ${most.toString()}`);
  }

  /** Whole Unix seconds of a time in UTC, with or without its seconds. */
  second(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const [, minutes, seconds = ':00'] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)?Z$/.exec(text) ?? [];
    if (minutes === undefined) throw invalid(name, 'is not a time such as 2026-11-20T10:05:00Z');
    try {
      const wanted = parseTime(`${minutes}${seconds}Z`, 0);
      return wanted === 'latest' ? undefined : wanted.second;
    } catch (cause) {
      if (!(cause instanceof TidemarkError)) throw cause;
      throw invalid(name, cause.message);
    }
  }
}

/** A parameter that is wrong. */
export function invalid(name: string, why: string): CompatError {
  return new CompatError('InvalidParameter', 400, `${name} ${why}`);
}
